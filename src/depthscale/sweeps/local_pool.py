"""Workers on this machine: processes of this Python that never run the caller's script again, each
behind a thread that waits for it."""

import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from queue import SimpleQueue
from threading import Lock

from depthscale.sweeps.one_cell import Call, CellRow

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
Answer = tuple[list[CellRow], float]


class WorkerDied(Exception):
    """A worker ended while it ran cells."""


class LocalPool:
    """So many workers for one recipe. / slots: chunks that keep all of them at work."""

    def __init__(self, pickled: bytes, workers: int):
        self._workers = [_Worker(pickled) for _ in range(workers)]
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        for worker in self._workers:
            self._idle.put(worker)
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="depthscale-sweep")
        self.slots = 2 * workers

    def submit(self, calls: Sequence[Call]) -> "Future[Answer]":
        return self._threads.submit(self._run, calls)

    def first(self, running: "Sequence[Future[Answer]]") -> "list[Future[Answer]]":
        """Those that are done, once there is one."""
        return list(wait(running, return_when=FIRST_COMPLETED).done)

    def answer(self, done: "Future[Answer]") -> Answer:
        """raises: WorkerDied."""
        return done.result()

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        for worker in self._workers:
            worker.end()
        self._threads.shutdown()
        for worker in self._workers:
            worker.close()

    def _run(self, calls: Sequence[Call]) -> Answer:
        worker = self._idle.get()
        try:
            return worker.run(calls)
        finally:
            self._idle.put(worker)


class _Worker:
    """A process, begun when it is first needed, and anew after its death."""

    def __init__(self, pickled: bytes):
        self._pickled, self._ended, self._lock = pickled, False, Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, calls: Sequence[Call]) -> Answer:
        """raises: WorkerDied."""
        process = self._alive()
        assert process.stdin
        assert process.stdout
        try:
            pickle.dump(calls, process.stdin)
            process.stdin.flush()
            return pickle.load(process.stdout)
        except (EOFError, OSError, pickle.UnpicklingError):
            process.kill()
            with suppress(OSError):  # of what could not be written any more
                process.communicate()
            self._process = None
            raise WorkerDied from None

    def end(self) -> None:
        """For good, from another thread; one that waits for rows then finds it dead."""
        with self._lock:
            self._ended = True
            if self._process is not None:
                self._process.kill()

    def close(self) -> None:
        """Once nothing waits for it."""
        if self._process is not None:
            with suppress(OSError):
                self._process.communicate()

    def _alive(self) -> "subprocess.Popen[bytes]":
        with self._lock:
            if self._ended:
                raise WorkerDied
            if self._process is None:
                self._process = _begun(self._pickled)
            return self._process


def _begun(pickled: bytes) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(
        [sys.executable, "-m", "depthscale.sweeps.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | _ONE_THREAD | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert process.stdin
    pickle.dump(pickled, process.stdin)
    return process
