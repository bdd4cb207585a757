"""A worker of a sweep: reads a recipe and then chunks of cells from standard input, writes their
rows to standard output, and ends at once when its sweep does.

    python -m depthscale.sweeps.worker
"""

import os
import pickle
import signal
import sys
from queue import SimpleQueue
from threading import Thread
from typing import IO

from depthscale.sweeps.one_cell import run_cells


def main() -> None:
    """Until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal; the sweep ends its workers
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what models print is no row
    asked: SimpleQueue = SimpleQueue()
    Thread(target=_read, args=(sys.stdin.buffer, asked), daemon=True).start()
    pickled = asked.get()
    while True:
        pickle.dump(run_cells(pickled, asked.get()), answers)
        answers.flush()


def _read(stream: IO[bytes], asked: SimpleQueue) -> None:
    """Hand on what is asked; a sweep that is gone, killed or not, needs no more rows."""
    try:
        while True:
            asked.put(pickle.load(stream))
    except EOFError:
        os._exit(0)


if __name__ == "__main__":
    main()
