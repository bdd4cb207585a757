"""Fair timing: the candidates in turn, many times, so that a machine's moods fall on all alike."""

from collections.abc import Callable
from statistics import median
from time import perf_counter


def seconds(candidates: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Every candidate's times, in interleaved rounds, each after a call that is not counted: so that no candidate finds the
    caches, or worker threads still spinning, of another."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, run in candidates.items():
            run()
            start = perf_counter()
            run()
            times[name].append(perf_counter() - start)
    return times


def medians(candidates: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each candidate."""
    return {name: median(times) for name, times in seconds(candidates, rounds).items()}
