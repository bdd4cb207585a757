"""What held and what broke, kept in a file so that a run goes on where another stopped; and the
page made from it."""

import json
import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from torture.networks import OPERATIONS

_MOST = 200  # failures that are kept of a kind


@dataclass
class Count:
    """Of one kind.

    Args:
        done: How many ran.
        broken: In how many something broke.
        following: The next seed.
        failures: Seed, what broke, and how.
    """

    done: int = 0
    broken: int = 0
    following: int = 0
    failures: list[tuple[int, str]] = field(default_factory=list)

    def add(self, seed: int, wrong: list[str]) -> None:
        self.done, self.following = self.done + 1, seed + 1
        self.broken += bool(wrong)
        self.failures = [*self.failures, *((seed, each) for each in wrong)][:_MOST]


Tally = dict[str, Count]


def read(path: Path) -> Tally:
    """The counts in a file; none where there is no file."""
    kept = json.loads(path.read_text()) if path.exists() else {}
    return {
        kind: Count(**count | {"failures": [(seed, what) for seed, what in count["failures"]]})
        for kind, count in kept.items()
    }


def write(path: Path, tally: Tally) -> None:
    path.write_text(json.dumps({kind: asdict(count) for kind, count in tally.items()}, indent=1))


def page(tally: Tally, about: dict[str, str], goals: dict[str, int]) -> str:
    """docs/reliability.md."""
    rows = [
        f"| {about[kind]} | {count.done:,} of {goals[kind]:,} | {count.broken:,} |"
        for kind, count in tally.items()
    ]
    return "\n".join([*_BEFORE, *rows, "", *_broken(tally), *_after()]) + "\n"


_BEFORE = [
    "# Reliability",
    "",
    "What `make torture` ran and what broke; made by `python -m tests.torture --write "
    "docs/reliability.md`.",
    "",
    "| what | done | broken |",
    "|---|---|---|",
]


def _broken(tally: Tally) -> list[str]:
    lines = [
        f"- `{kind} {seed}`: {what.replace('|', '/')}"
        for kind, count in tally.items()
        for seed, what in _by_cause(count.failures)
    ]
    return ["What broke, one seed for each way:", "", *lines, ""] if lines else []


def _by_cause(failures: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """One of each beginning: what follows is numbers."""
    found: dict[str, tuple[int, str]] = {}
    for seed, what in failures:
        found.setdefault(what[:60], (seed, what))
    return list(found.values())


def _after() -> list[str]:
    return [
        f"A network is drawn from {OPERATIONS} operations and surroundings: branches, views, "
        "writes in place and under no_grad, modules used again, norms, casts, custom Functions, "
        "checkpoints, loops, empty tensors. Each is compared with a run of torch alone: the model "
        "unchanged, output and gradients bit for bit the same, the gradient at the inputs "
        "autograd's, the ledger closed or its reason told, the record loaded as it was saved, "
        "every verb answered; of every twentieth the pages, too.",
        "",
        "A seed gives the same case again: `python -m tests.torture --kind networks --seed 17 "
        "--count 1`.",
        "",
        f"torch {torch.__version__}, Python {platform.python_version()}, "
        f"{platform.system()} {platform.machine()}.",
    ]
