"""FlightRecorder: when a training run goes wrong, what was kept of it is written."""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from math import isfinite
from pathlib import Path
from statistics import median
from typing import Any

from depthscale.monitor.append_only import Appender
from depthscale.monitor.recording import (
    Event,
    Recording,
    SampledStep,
    Why,
    begin_segment,
    event_segment,
    row_segment,
    run_segment,
)

_COMPARED = 128  # losses that make a range
_FEWEST = 16
_DEVIATIONS = 8.0  # of the median absolute deviation, above the median
_LEAST = 1e-3  # of the median: a deviation that is no smaller


class FlightRecorder:
    """A file of segments, and when something goes there.

    Args:
        recording: what is kept.
        path: the file, to which is appended; None: nothing is written.
    """

    def __init__(self, recording: Recording, path: Path | None):
        self.recording = recording
        self._file = None if path is None else Appender(path)
        self._written: set[int] = set()  # steps whose runs are in the file
        self._writing = False
        self._last: dict[Why, int] = {}
        self._before: deque[float] = deque(maxlen=_COMPARED)  # finite losses
        if self._file is not None:
            self._file.add(begin_segment(recording))

    def add(self, sampled: SampledStep) -> None:
        """A sampled step: its row goes to the file at once."""
        self.recording.add(sampled)
        if self._file is not None:
            self._file.add(row_segment(sampled.row))

    def add_loss(self, step: int, loss: float) -> Event | None:
        """A step's loss. / returns: the event that it is, if it is one."""
        self.recording.losses.append((step, loss))
        if not isfinite(loss):
            return self._once(step, Why.NOT_FINITE, f"{loss}")
        found = None
        if loss > max(self._before, default=loss) and _jumps(loss, self._before):
            detail = f"{median(self._before):.4g} to {loss:.4g}"
            found = self._once(step, Why.JUMP, detail)
        self._before.append(loss)
        return found

    def _once(self, step: int, why: Why, detail: str) -> Event | None:
        """Not again while the trouble goes on: the losses that make a range must have passed."""
        last = self._last.get(why)
        self._last[why] = step
        return None if last is not None and step - last < _COMPARED else Event(step, why, detail)

    def write(self, event: Event) -> None:
        """All that is kept and is not in the file, then the event. / raises: OSError, ValueError,
        and what a run raises that cannot be saved."""
        self.recording.events.append(event)
        if self._file is None or self._writing:
            return
        self._writing = True
        try:
            for each in self.recording.sampled:
                if each.step not in self._written:
                    self._file.add(run_segment(each))
                    self._written.add(each.step)
            self._file.add(event_segment(self.recording))
            self._file.settle()
        finally:
            self._writing = False
            self._written &= set(self.recording.steps)

    def close(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            file.close()


def _jumps(loss: float, before: Collection[float]) -> bool:
    if len(before) < _FEWEST:
        return False
    middle = median(before)
    deviation = median(abs(each - middle) for each in before)
    return loss > middle + _DEVIATIONS * max(deviation, _LEAST * abs(middle))


class Signals:
    """While it is entered, some signals are told before they do what they would have done.

    Args:
        names: of signals, as "SIGTERM"; those that the system lacks are left out.
        tell: called with a signal's name.
    """

    def __init__(self, names: Iterable[str], tell: Callable[[str], None]):
        self._numbers = [n for n in (getattr(signal, name, None) for name in names) if n]
        self._tell = tell
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Signals":
        if threading.current_thread() is threading.main_thread():
            for number in self._numbers:
                self._before[number] = signal.signal(number, self._arrive)
        return self

    def __exit__(self, *raised: object) -> None:
        for number, before in self._before.items():
            if signal.getsignal(number) == self._arrive and before is not None:
                signal.signal(number, before)
        self._before.clear()

    def _arrive(self, number: int, frame: Any) -> None:
        with suppress(Exception):
            self._tell(signal.Signals(number).name)
        before = self._before.get(number)
        if callable(before):
            before(number, frame)
        elif before != signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
