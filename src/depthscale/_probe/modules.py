"""Which module is running: a stack of module paths, kept by hooks that are taken away again."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from depthscale._probe import internals
from depthscale._probe.tree import Tree, below


@dataclass(slots=True)
class ModuleCall:
    """One call of a module. / number: counted over the run."""

    path: str
    module: nn.Module
    number: int
    uses: dict[int, int] = field(default_factory=dict)  # of modules inside, by identity


@dataclass
class ModuleStack:
    """The calls under way in the thread that made it, outermost first."""

    calls: list[ModuleCall] = field(default_factory=list)
    made: int = 0

    deepest: ModuleCall | None = None  # what was running when something was raised
    # called with every call's output while it still is on the stack
    on_leaving: Callable[[object], None] | None = None
    # called with what a module is given, while its caller is on top
    on_entering: Callable[[Any, Any], None] | None = None

    _below: dict[int, dict[int, list[str]]] = field(default_factory=dict)

    @property
    def top(self) -> ModuleCall:
        return self.calls[-1]

    def enter(self, module: nn.Module, first: str) -> None:
        """A module is called. / first: its first path, for one that stands nowhere in the module
        that calls it."""
        self.made += 1
        self.calls.append(ModuleCall(self._path(module, first), module, self.made))

    def _path(self, module: nn.Module, first: str) -> str:
        """Where the caller keeps the module: one that stands in several places is taken to be
        called in their order."""
        caller = self.top
        if id(caller.module) not in self._below:
            self._below[id(caller.module)] = below(caller.module)
        places = self._below[id(caller.module)].get(id(module))
        if not places:
            return first
        used = caller.uses.get(id(module), 0)
        caller.uses[id(module)], place = used + 1, places[used % len(places)]
        return f"{caller.path}.{place}" if caller.path else place

    @contextmanager
    def within(self, path: str) -> Iterator[None]:
        """What runs now is not the model's."""
        self.made += 1
        self.calls.append(ModuleCall(path, nn.Identity(), self.made))
        yield
        self.calls.pop()


@contextmanager
def watched(tree: Tree) -> Iterator[ModuleStack]:
    """A stack that follows the modules' calls in this thread while the context lasts. / user's
    hooks keep their order."""
    stack = ModuleStack([ModuleCall("", tree.modules[0][1], 0)])
    thread = threading.get_ident()
    handles = []

    def enter(path: str):
        def hook(module: nn.Module, args: object, kwargs: object) -> None:
            if threading.get_ident() == thread:
                if stack.on_entering is not None:
                    with internals.unseen():
                        stack.on_entering(args, kwargs)
                stack.enter(module, path)

        return hook

    def leave(module: nn.Module, args: object, output: object) -> None:
        if threading.get_ident() == thread and len(stack.calls) > 1:
            if stack.on_leaving is not None:
                with internals.unseen():
                    stack.on_leaving(output)
            left = stack.calls.pop()
            if output is None and stack.deepest is None:  # it raised, or returned nothing
                stack.deepest = left
            elif output is not None:
                stack.deepest = None

    try:
        for path, module in tree.modules:
            if isinstance(
                module, torch.jit.ScriptModule
            ):  # takes no hooks: what it runs counts as its parent's
                continue
            handles.append(
                module.register_forward_pre_hook(enter(path), prepend=True, with_kwargs=True)
            )
            handles.append(module.register_forward_hook(leave, always_call=True))
        yield stack
    finally:
        for handle in handles:
            handle.remove()


def unwrapped(model: nn.Module) -> nn.Module:
    """The module inside DataParallel, which without devices only hands over."""
    while isinstance(model, nn.DataParallel):
        model = model.module
    return model
