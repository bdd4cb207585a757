"""What every test may rely on, and the rule that no claim is skipped unseen."""

import os

import pytest
import torch

if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)  # the workers share the cores
_skipped: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and report.nodeid.startswith("tests/claims"):
        _skipped.append(report.nodeid)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """On a clean machine (CI=true) a claim that was not tested is a failure."""
    if _skipped and os.environ.get("CI") == "true":
        print(f"\nclaims not tested: {', '.join(_skipped)}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
