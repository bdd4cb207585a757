"""A process that works off seeds, watched from outside: one that hangs or dies is a failure of its
seed, and another goes on."""

import json
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable, Generator, Iterator
from typing import TextIO

Work = Callable[[int], list[str]]
_LONGEST = 300.0  # seconds for one seed


def work_off(work: Work, seed: int) -> Generator[tuple[int, list[str]], None, None]:
    """What broke at every seed from the first on, without end."""
    while True:
        child, results = _started(work, seed)
        ended = "hangs"
        try:
            for line in _lines(results):
                if not line:
                    ended = "dies"
                    break
                yield seed, json.loads(line)
                seed += 1
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            results.close()
        yield seed, [ended]
        seed += 1


def _started(work: Work, seed: int) -> tuple[int, TextIO]:
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, os.fdopen(reading)
    os.close(reading)
    with os.fdopen(writing, "w", buffering=1) as results:
        while True:
            results.write(json.dumps(_tried(work, seed)) + "\n")
            seed += 1


def _tried(work: Work, seed: int) -> list[str]:
    try:
        return work(seed)
    except (KeyboardInterrupt, BrokenPipeError):
        os._exit(1)
    except BaseException as wrong:
        sys.stderr.write(traceback.format_exc())
        return [f"the torture itself: {wrong!r}"]


def _lines(results: TextIO) -> Iterator[str]:
    """Line by line, until none comes for too long; an empty one at the end."""
    while select.select([results], [], [], _LONGEST)[0]:
        yield results.readline()
