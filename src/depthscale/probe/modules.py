"""Which module is running: a stack of module paths, kept by hooks that are taken away again."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256

import torch
from torch import nn

from depthscale.probe import internals
from depthscale.trace import ModuleNote


@dataclass(frozen=True)
class Call:
    """One call of a module. / number: counted over the run."""

    path: str
    module: nn.Module
    number: int


@dataclass
class ModuleStack:
    """The calls under way in the thread that made it, outermost first."""

    calls: list[Call] = field(default_factory=list)
    made: int = 0

    deepest: Call | None = None  # what was running when something was raised
    on_leaving: Callable[[object], None] = lambda output: None  # told every call's output while it still is on the stack

    @property
    def top(self) -> Call:
        return self.calls[-1]

    @contextmanager
    def within(self, path: str) -> Iterator[None]:
        """What runs now is not the model's."""
        self.made += 1
        self.calls.append(Call(path, nn.Identity(), self.made))
        yield
        self.calls.pop()


@contextmanager
def watched(model: nn.Module) -> Iterator[ModuleStack]:
    """A stack that follows the model's calls in this thread while the context lasts. / user's hooks keep their order."""
    stack = ModuleStack([Call("", model, 0)])
    thread = threading.get_ident()
    handles = []

    def enter(path: str):
        def hook(module: nn.Module, args: object) -> None:
            if threading.get_ident() == thread:
                stack.made += 1
                stack.calls.append(Call(path, module, stack.made))

        return hook

    def leave(module: nn.Module, args: object, output: object) -> None:
        if threading.get_ident() == thread and len(stack.calls) > 1:
            with internals.unseen():
                stack.on_leaving(output)
            left = stack.calls.pop()
            if output is None and stack.deepest is None:  # it raised, or returned nothing
                stack.deepest = left
            elif output is not None:
                stack.deepest = None

    try:
        for path, module in paths(model):
            if isinstance(module, torch.jit.ScriptModule):  # takes no hooks: what it runs counts as its parent's
                continue
            handles.append(module.register_forward_pre_hook(enter(path), prepend=True))
            handles.append(module.register_forward_hook(leave, always_call=True))
        yield stack
    finally:
        for handle in handles:
            handle.remove()


def paths(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Every module once, by its first path, without the names that wrappers add."""
    for path, module in model.named_modules():
        yield plain_path(path, model), module


def plain_path(path: str, model: nn.Module) -> str:
    """A path without the parts that torch.compile's and DataParallel's wrappers add."""
    kept, here = [], model
    for part in path.split(".") if path else []:
        if not (part == "_orig_mod" or (part == "module" and _is_wrapper(here))):
            kept.append(part)
        below = getattr(here, part, None)  # a script module has no plain dict of them
        here = below if isinstance(below, nn.Module) else here
    return ".".join(kept)


def unwrapped(model: nn.Module) -> nn.Module:
    """The module inside DataParallel, which without devices only hands over."""
    while isinstance(model, nn.DataParallel):
        model = model.module
    return model


def _is_wrapper(module: nn.Module) -> bool:
    return isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel)


def notes(model: nn.Module) -> tuple[ModuleNote, ...]:
    """Every module's class, structure and mode."""
    return tuple(
        ModuleNote(path, type(module).__name__, _structure(module), module.training) for path, module in paths(model) if path
    )


def digest(model: nn.Module) -> str:
    """Twelve hexadecimal digits that models with the same modules and the same parameters' shapes share, whatever their values."""
    lines = [f"{path} {type(module).__name__}" for path, module in paths(model)]
    lines += [f"{plain_path(name, model)} {tuple(each.shape)}" for name, each in model.named_parameters()]
    return sha256("\n".join(lines).encode(errors="surrogatepass")).hexdigest()[:12]


def _structure(module: nn.Module) -> str:
    """Classes of a module and all below it, in order: equal for blocks that repeat."""
    inside = ",".join(f"{name}:{_structure(child)}" for name, child in module._modules.items() if child is not None)
    return f"{type(module).__name__}({inside})" if inside else type(module).__name__
