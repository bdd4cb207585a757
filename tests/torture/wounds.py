"""Interrupts, exceptions and kills at random moments: the model is as it was, the error arrives, no
file is half written."""

import gc
import os
import random
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.overrides import TorchFunctionMode
from torch.utils import checkpoint

import depthscale as ds
from depthscale._probe import internals
from probe.checks import state
from torture import verbs
from torture.plain_runs import seeded

Made = Callable[[nn.Module], None]


class _Wound(Exception):
    """No error of torch's or depthscale's."""


def _model(drawn: random.Random) -> nn.Module:
    """In the middle of its life, with much to put back."""
    torch.manual_seed(drawn.randrange(1000))
    model = nn.Sequential(
        *(
            part
            for _ in range(drawn.choice((2, 8, 20)))
            for part in (nn.Linear(16, 16), nn.BatchNorm1d(16), nn.ReLU(True), nn.Dropout(0.1))
        )
    )
    model(torch.randn(8, 16)).sum().backward()
    model[0].register_forward_hook(lambda *_: None)
    next(model.parameters()).register_hook(lambda g: None)
    return model


def _settings(drawn: random.Random) -> dict[str, Any]:
    return {
        "params": drawn.random() < 0.3,
        "verify": drawn.random() < 0.3,
        "mode": drawn.choice((None, "train", "eval")),
        "repeats": drawn.choice((1, 1, 2)),
    }


def _surroundings() -> tuple[Any, ...]:
    """What of the process a probe may not leave otherwise."""
    return (
        gc.isenabled(),
        internals.depth(),
        signal.getsignal(signal.SIGINT),
        checkpoint.CheckpointFunction,
        torch.cond,
        torch.is_grad_enabled(),
        len(torch.overrides._get_current_function_mode_stack()),  # pyright: ignore[reportPrivateImportUsage, reportAttributeAccessIssue]
    )


# ---- interrupts


@contextmanager
def _interrupted_after(seconds: float) -> Iterator[None]:
    """Ctrl-C once, that long after the context was entered."""
    timer = threading.Timer(seconds, signal.raise_signal, [signal.SIGINT])
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def interrupted(seed: int) -> list[str]:
    """A probe that is interrupted at a random moment, every other time near its end."""
    drawn = random.Random(seed)
    model, x, settings = _model(drawn), torch.randn(8, 16), _settings(drawn)
    start = time.perf_counter()
    ds.probe(model, x, **settings)
    whole = time.perf_counter() - start
    moment = whole * (drawn.uniform(0.8, 1.05) if drawn.random() < 0.5 else drawn.random())
    before, around, arrived = state(model), _surroundings(), False
    with seeded(seed):
        before = state(model)
        try:
            with _interrupted_after(max(moment, 1e-5)):
                ds.probe(model, x, **settings)
                time.sleep(whole + 1)  # it ended before
        except KeyboardInterrupt:
            arrived = True
        except BaseException as wrong:
            return [f"arrived as {verbs.where(wrong)}"]
        found = [] if arrived else ["the interrupt was lost"]
        if state(model) != before:
            found.append(
                f"the model is changed, interrupted after {moment / whole:.3f} of the probe"
            )
    if _surroundings() != around:
        found.append("the process is changed")
    return found


# ---- exceptions


class _RaisesAt(TorchFunctionMode):
    """Raises at one of the calls."""

    def __init__(self, number: int, error: BaseException):
        super().__init__()
        self.left, self.error = number, error

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.left -= 1
        if self.left == 0:
            raise self.error
        return func(*args, **(kwargs or {}))


class _RaisesBackward(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, error: BaseException) -> Tensor:
        ctx.error = error
        return x * 1

    @staticmethod
    def backward(ctx: Any, *g: Tensor) -> Any:
        raise ctx.error


class _Wounded(nn.Module):
    """A model that raises: at a call of torch, in a hook, in its backward pass."""

    def __init__(self, model: nn.Module, where: str, number: int, error: BaseException):
        super().__init__()
        self.model, self.where, self.number, self.error = model, where, number, error
        if where == "hook":
            parts = [each for each in model.modules() if each is not model]
            parts[number % len(parts)].register_forward_hook(self._raise)

    def _raise(self, *_: Any) -> None:
        raise self.error

    def forward(self, x: Tensor) -> Tensor:
        if self.where == "call":
            with _RaisesAt(1 + self.number % 8, self.error):
                return self.model(x)
        if self.where == "backward":
            x = _RaisesBackward.apply(x, self.error)  # type: ignore[assignment]
        if self.where == "gradient hook":
            x = x * 1
            x.register_hook(self._raise)
        return self.model(x)


_ERRORS: tuple[type[BaseException], ...] = (
    _Wound,
    RuntimeError,
    KeyError,
    StopIteration,
    MemoryError,
    SystemExit,
    KeyboardInterrupt,
)


def raised(seed: int) -> list[str]:
    """A probe of a model that raises at a random place."""
    drawn = random.Random(seed)
    error = drawn.choice(_ERRORS)("a wound")
    place = drawn.choice(("call", "hook", "backward", "gradient hook"))
    model = _Wounded(_model(drawn), place, drawn.randrange(1000), error)
    settings, around = _settings(drawn), _surroundings()
    with seeded(seed):
        before = state(model)
        try:
            ds.probe(model, torch.randn(8, 16, generator=torch.Generator()), **settings)
        except BaseException as wrong:
            found = [] if wrong is error else [f"{error!r} in a {place} became {wrong!r}"]
        else:
            found = [f"{error!r} in a {place} was swallowed"]
        if state(model) != before:
            found.append(f"{error!r} in a {place}: the model is changed")
    if _surroundings() != around:
        found.append(f"{error!r} in a {place}: the process is changed")
    return found


# ---- kills


def killed(seed: int) -> list[str]:
    """A process that probes and saves, killed at a random moment."""
    drawn = random.Random(seed)
    model, x = _model(drawn), torch.randn(8, 16)
    first = ds.probe(model, x)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "run.json"
        ds.save(first, path)
        child = os.fork()
        if not child:
            _save_for_ever(model, x, path)
        time.sleep(drawn.uniform(0, 0.15))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return [*_half(path), *_never_cleaned(folder, first, path)]


def _save_for_ever(model: nn.Module, x: Tensor, path: Path) -> None:
    try:
        while True:
            run = ds.probe(model, x)
            for _ in range(5):
                ds.save(run, path)
    finally:
        os._exit(0)


def _half(path: Path) -> list[str]:
    try:
        ds.load(path)
    except ds.DepthscaleError as wrong:
        return [f"half a file: {wrong}"]
    return []


def _never_cleaned(folder: Path, run: ds.Run, path: Path) -> list[str]:
    """What is left beside the file after a day and one more save."""
    yesterday = time.time() - 86_400
    for each in folder.iterdir():
        os.utime(each, (yesterday, yesterday))
    ds.save(run, path)
    left = [each.name for each in folder.iterdir() if each != path]
    return [f"left behind for ever: {left}"] if left else []
