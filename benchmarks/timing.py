"""Fair timing: the candidates in turn, several times round, so that a machine's moods fall on all
alike."""

from collections.abc import Callable
from statistics import median
from time import perf_counter

_TURNS = 3


def seconds(candidates: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Every candidate's times: some rounds of one after the other, three times over. Rounds of one
    candidate stand together because torch's worker threads go on spinning for some milliseconds,
    and would take a core from the next candidate."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(_TURNS):
        for name, run in candidates.items():
            run()
            for _ in range(max(1, rounds // _TURNS)):
                start = perf_counter()
                run()
                times[name].append(perf_counter() - start)
    return times


def medians(candidates: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each candidate."""
    return {name: median(times) for name, times in seconds(candidates, rounds).items()}
