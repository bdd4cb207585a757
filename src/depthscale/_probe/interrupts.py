"""Ctrl-C while a probe is under way: it arrives where the model runs, and waits while the model is
prepared or put back."""

import contextlib
import signal
import threading
from types import FrameType
from typing import Any

from torch import overrides

_A_MOMENT = 0.001  # seconds
_held: list["Held"] = []  # of the main thread, the innermost last; signals go to no other thread


class Held:
    """While it is entered, an interrupt waits for its end, or for `interruptible`.

    No context made of a generator: an interrupt could come between its own steps. Of an interrupt
    that was raised, everything that follows is part of putting back, so that the next ones wait.
    """

    def __init__(self) -> None:
        self.raises = False
        self._waits = False
        self._users: Any = None

    def __enter__(self) -> "Held":
        users = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is threading.main_thread() and callable(users):
            self._users = users
            _held.append(self)
            signal.signal(signal.SIGINT, self._arrive)
        return self

    def __exit__(self, kind: type[BaseException] | None, *about: object) -> None:
        self.raises = False
        if self._users is None:
            return
        _held.remove(self)
        signal.signal(signal.SIGINT, self._users)
        if self._waits and not (kind and issubclass(kind, KeyboardInterrupt)):
            self._users(signal.SIGINT, None)

    def release(self) -> None:
        """From now on an interrupt is raised where it comes, one that waited at once."""
        self.raises = True
        if self._waits:
            self._arrive(signal.SIGINT, None)

    def _arrive(self, number: int, frame: Any) -> None:
        """What the user's handler raises may be lost, as in a weak reference's callback: it waits,
        too, until it has come through."""
        self._waits = True
        if self.raises and _changes_modes(frame):
            self._waits = False
            threading.Timer(_A_MOMENT, signal.raise_signal, [signal.SIGINT]).start()
        elif self.raises:
            self.raises = False
            self._users(number, frame)
            self.raises, self._waits = True, False  # it only took a note


def _changes_modes(frame: FrameType | None) -> bool:
    """Whether torch is about to put a function mode on its stack, or to take one away: an interrupt
    between two of its steps would leave the mode there, or bring it back when the trace is freed.
    """
    while frame is not None and frame.f_code.co_filename == contextlib.__file__:
        frame = frame.f_back
    return frame is not None and frame.f_code.co_filename == overrides.__file__


class Interruptible:
    """While it is entered, what was held is not."""

    def __enter__(self) -> None:
        self._inner = (
            _held[-1] if _held and threading.current_thread() is threading.main_thread() else None
        )
        if self._inner is not None:
            self._inner.release()

    def __exit__(self, *about: object) -> None:
        if self._inner is not None:
            self._inner.raises = False
