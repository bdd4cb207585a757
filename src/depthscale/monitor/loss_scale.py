"""What a loss is multiplied by before its backward pass: told by a GradScaler, handed over or seen
at work."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch.amp.grad_scaler import GradScaler


class LossScale:
    """The scale of one training run.

    Attributes:
        scaler: the one that was handed over, or was seen last; None where none was.
    """

    def __init__(self, scaler: Any = None):
        self.scaler = scaler

    @property
    def is_known(self) -> bool:
        return self.scaler is not None

    def now(self) -> float:
        return float(self.scaler.get_scale()) if self.scaler is not None else 1.0

    @contextmanager
    def looking(self) -> Iterator[None]:
        """While it lasts, a scaler that multiplies a loss in this thread is remembered."""
        with _told(self._saw):
            yield

    def _saw(self, scaler: Any) -> None:
        self.scaler = scaler


_listening = threading.local()
_scale = GradScaler.scale


@contextmanager
def _told(saw: Callable[[Any], None]) -> Iterator[None]:
    before = getattr(_listening, "saw", None)
    _listening.saw = saw
    GradScaler.scale = _seen_scale  # type: ignore[method-assign]
    try:
        yield
    finally:
        _listening.saw = before
        if before is None:
            GradScaler.scale = _scale  # type: ignore[method-assign]


def _seen_scale(scaler: Any, outputs: Any) -> Any:
    saw = getattr(_listening, "saw", None)
    if saw is not None:
        saw(scaler)
    return _scale(scaler, outputs)
