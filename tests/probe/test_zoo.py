"""Published architectures: every autograd node seen, the ledger closed, the model as before, the
same bits as without."""

import os

import pytest
import torch

from depthscale.run import Run
from probe.checks import probed
from probe.zoo import ZOO


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their libraries look for nothing on the network and keep their advice to themselves."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TRANSFORMERS_VERBOSITY", "error")


def trace_of(name: str) -> Run:
    torch.manual_seed(0)
    try:
        model, inputs = ZOO[name]()
    except ImportError as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"not installed: {missing.name}")
    return probed(model, inputs, explained=True)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ZOO)
def test_an_architecture_is_seen_whole(name: str) -> None:
    trace = trace_of(name)
    assert trace.coverage.share == 1
    beside = [missed.op for missed in trace.coverage.not_seen]
    assert beside in ([], ["pooler_output"]), (
        "of some the pooled output is not what is differentiated"
    )
    assert trace.coverage.ops_with_gradient > 2
    assert all(op.activation is not None for op in trace.ops)


def test_there_are_enough_of_them() -> None:
    assert len(ZOO) >= 25
