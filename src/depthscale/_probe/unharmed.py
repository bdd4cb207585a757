"""Looking on without harm: what fails while somebody else's code is watched ends the watching, and
their code gets what it would have got."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from depthscale._probe.backward import Backward
from depthscale._probe.call_records import CONSTANT
from depthscale._probe.calls import TorchFunction
from depthscale._probe.recorder import Recorder

_NOTHING = object()


class UnharmedRecorder(Recorder):
    """A recorder of which nothing reaches the user.

    wrong: what went wrong in it; from then on it does not look.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.wrong: Exception | None = None
        self._returned: Any = _NOTHING
        self._users: BaseException | None = None

    def ran(self, function: TorchFunction, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        try:
            self._returned = super().ran(function, func, args, kwargs)
        except BaseException as users:
            self._users = users
            raise
        return self._returned

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if self.wrong is not None or not self._listens():
            return func(*args, **kwargs)
        self._returned = _NOTHING
        try:
            return super().__torch_function__(func, types, args, kwargs)
        except Exception as wrong:
            if wrong is self._users:
                raise
            self.fail(wrong)
            return func(*args, **kwargs) if self._returned is _NOTHING else self._returned
        finally:
            self._returned, self._users = _NOTHING, None

    def begin_unknown(self, given: Mapping[str, Tensor]) -> None:
        """What a model is given and no call was seen to make, by name."""
        self.begin({n: t for n, t in given.items() if self.value(t).kind == CONSTANT})

    def left(self, output: object) -> None:
        """A module returns."""
        self.attempt(self._left, output)

    def attempt(self, look: Callable[[Any], None], at: Any) -> None:
        if self.wrong is None:
            try:
                look(at)
            except Exception as wrong:
                self.fail(wrong)

    def fail(self, wrong: Exception) -> None:
        self.wrong = wrong  # and who ends the recording releases it


class UnharmedBackward(Backward):
    """A reading of a backward pass whose hooks raise nothing into it."""

    wrong: Exception | None = None

    def guarded(self, hook: Callable[..., None]) -> Callable[..., None]:
        def look(*gradients: Any) -> None:
            if self.wrong is None:
                try:
                    hook(*gradients)
                except Exception as wrong:
                    self.wrong = wrong

        return look
