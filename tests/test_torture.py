"""A small fixed share of the torture; `make torture` runs all of it."""

import os
import time
from pathlib import Path

import pytest

from torture import hostile, networks, tally
from torture.command import KINDS, main
from torture.hostile import damaged
from torture.invariants import INVARIANTS, Case, broken
from torture.networks import network
from torture.plain_runs import plain
from torture.worker import work_off

SHARE = {"interrupts": 6, "exceptions": 10, "kills": 3, "threads": 2, "training": 1}


def test_every_invariant_holds_of_forty_networks() -> None:
    assert {seed: wrong for seed in range(1, 41) if (wrong := broken(seed))} == {}


@pytest.mark.parametrize("kind", SHARE)
def test_nothing_breaks(kind: str) -> None:
    assert [wrong for seed in range(SHARE[kind]) for wrong in KINDS[kind].work(seed)] == []


def test_there_are_as_many_operations_as_are_promised() -> None:
    assert networks.OPERATIONS >= 150


def test_a_seed_is_one_network() -> None:
    for seed in range(20):
        assert network(seed).words == network(seed).words
        assert plain(network(seed)).log2_norms2 == plain(network(seed)).log2_norms2
    assert damaged(3) == damaged(3) != damaged(4)


def test_a_broken_promise_would_be_seen() -> None:
    """The twins: a case in which each promise is broken."""
    case = Case(0)
    assert case.run is not None
    case.after = case.after[:-1]
    assert INVARIANTS["unchanged"](case)
    case.plain.log2_norms2 = {name: one + 1e-4 for name, one in case.plain.log2_norms2.items()}
    assert INVARIANTS["same gradient"](case)
    case.plain.error = RuntimeError("the plain model raises")
    assert INVARIANTS["raises alike"](case)
    case.warned.add("a warning of the probe's own")
    assert INVARIANTS["warns alike"](case)
    assert hostile._harmful("\u202e") == {"\u202e"}


def _hangs_or_dies(seed: int) -> list[str]:
    if seed == 1:
        os._exit(1)
    while seed == 2:
        time.sleep(1)
    return []


def test_a_seed_that_dies_or_hangs_is_one_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torture.worker._LONGEST", 1.0)
    results = work_off(_hangs_or_dies, 0)
    found = [next(results) for _ in range(4)]
    results.close()
    assert found == [(0, []), (1, ["dies"]), (2, ["hangs"]), (3, [])]


def test_the_counts_go_on_and_stand_on_the_page(tmp_path: Path) -> None:
    kept, page = tmp_path / "tally.json", tmp_path / "page.md"
    for _ in range(2):
        asked = ["--kind", "exceptions", "--count", "2", "--tally", str(kept)]
        assert main([*asked, "--write", str(page)]) == 0
    assert tally.read(kept)["exceptions"].following == 4
    assert "| 4 of 1,000 | 0 |" in page.read_text()
