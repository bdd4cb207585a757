"""The command: how many of each kind, for how long, and the page."""

import argparse
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from torture import tally as counts
from torture.company import leaks, training_beside, two_at_once
from torture.hostile import damaged_file, hostile_names, limit_memory
from torture.invariants import broken
from torture.networks import network
from torture.worker import work_off
from torture.wounds import interrupted, killed, raised


@dataclass(frozen=True)
class Kind:
    """A kind of torture.

    Args:
        work: Of a seed, what broke.
        goal: How many make a whole run.
        share: Of a run's time.
        about: In the page's words.
    """

    work: Callable[[int], list[str]]
    goal: int
    share: float
    about: str


def _networks(seed: int) -> list[str]:
    return [f"{name}: {wrong}" for name, wrong in broken(seed)]


def _files(seed: int) -> list[str]:
    limit_memory()
    return damaged_file(seed)


_KEPT_EVERY = 50
KINDS = {
    "networks": Kind(_networks, 10_000, 0.55, "random networks"),
    "interrupts": Kind(interrupted, 1000, 0.08, "interrupts at a random moment"),
    "exceptions": Kind(raised, 1000, 0.06, "exceptions in calls, hooks and backward passes"),
    "kills": Kind(killed, 1000, 0.1, "kills while a run is saved"),
    "files": Kind(_files, 5000, 0.12, "damaged files"),
    "names": Kind(hostile_names, 100, 0.03, "models with hostile names"),
    "threads": Kind(two_at_once, 100, 0.03, "pairs of probes at once"),
    "training": Kind(training_beside, 20, 0.01, "trainings beside a probe"),
    "leaks": Kind(leaks, 10, 0.02, "times two hundred probes in a row"),
}


def main(given: Sequence[str] | None = None) -> int:
    asked = _parser().parse_args(given)
    torch.set_num_threads(1)
    tally = counts.read(asked.tally) if asked.tally else {}
    before = sum(count.broken for count in tally.values())
    for name in asked.kind or KINDS:
        for done in _run(name, KINDS[name], asked, tally.setdefault(name, counts.Count())):
            if asked.tally and done % _KEPT_EVERY == 0:
                counts.write(asked.tally, tally)
        if asked.tally:
            counts.write(asked.tally, tally)
    if asked.write:
        about = {name: kind.about for name, kind in KINDS.items()}
        goals = {name: kind.goal for name, kind in KINDS.items()}
        asked.write.write_text(counts.page(tally, about, goals))
    return sum(count.broken for count in tally.values()) > before


def _run(name: str, kind: Kind, asked: argparse.Namespace, count: counts.Count) -> Iterator[int]:
    """How many are done, until there are enough or the kind's time is over."""
    wanted = asked.count or kind.goal
    seconds = asked.seconds * kind.share if asked.seconds else float("inf")
    first = count.following if asked.seed is None else asked.seed
    if asked.fresh:
        first = random.SystemRandom().randrange(10**6, 10**9)
    start, done = time.monotonic(), 0
    if asked.count is None and count.done >= wanted:
        return
    results = work_off(kind.work, first)
    for seed, wrong in results:
        count.add(seed, wrong)
        done += 1
        for each in wrong:
            _tell(name, seed, each)
        yield done
        enough = done >= wanted if asked.count else count.done >= wanted
        if enough or time.monotonic() - start > seconds:
            break
    results.close()
    print(f"{name}: {done:,} from seed {first}, {time.monotonic() - start:.0f} s", flush=True)


def _tell(name: str, seed: int, wrong: str) -> None:
    plan = f"\n  {network(seed).words}" if name == "networks" else ""
    print(f"{name} --seed {seed}: {wrong}{plan}", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.torture", description=__doc__)
    parser.add_argument(
        "--seconds", type=float, help="for all kinds; none: until all goals are met"
    )
    parser.add_argument("--kind", action="append", choices=list(KINDS), help="one kind, or several")
    parser.add_argument("--seed", type=int, help="the first [default: where the tally stopped]")
    parser.add_argument("--fresh", action="store_true", help="begin at seeds of the system's")
    parser.add_argument("--count", type=int, help="how many of each kind")
    parser.add_argument("--tally", type=Path, help="a file that keeps the counts of several runs")
    parser.add_argument("--write", type=Path, help="the page to write")
    return parser
