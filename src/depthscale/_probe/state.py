"""Leaving no trace: a model's state is as it was when the context ends, however it ends."""

import random
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from operator import is_
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from depthscale._probe.internals import version
from depthscale._probe.randomness import random_states, set_random_states
from depthscale._probe.tree import Tree, walked
from depthscale.errors import InvalidProbe
from depthscale.sketch.counting import is_own_kind

_CONTAINERS = (dict, list, set, deque)
_SCALARS = (bool, int, float, str, type(None))
_NOTHING: dict[Any, Any] = {}  # what an empty container held
_DEPTH = 4  # containers in containers, as a cache of keys and values nests them
_OF_EVERY_MODULE = frozenset(nn.Module().__dict__)
_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@contextmanager
def model_state(tree: Tree, unwatched: bool = False) -> Iterator["StateGuard"]:
    """Parameters, buffers, .grad, training flags, hooks, attributes and random states are put back
    at the end.

    unwatched: nobody will say what is about to be written to, so everything is copied at once.
    """
    kept = StateGuard(tree)
    if unwatched:
        kept.before_any_write()
    try:
        yield kept
    finally:
        kept.put_back()


class StateGuard:
    """A model's state. / Buffers are copied at once; a parameter, or a tensor that is a plain
    attribute, only when something is about to write to it."""

    def __init__(self, tree: Tree):
        self._containers: list[tuple[Any, Any]] = []  # each with its content
        self._arrays: list[tuple[np.ndarray, np.ndarray]] = []
        self._generators: list[Callable[[], object]] = []
        self._loose: list[Tensor] = []  # that are plain attributes
        self._trees = [tree]  # and those of modules that are hidden in containers
        self._seen = {id(module) for _, module in tree.modules}
        self.hidden: list[tuple[str, nn.Parameter]] = []  # in modules that no module registers
        for each in self._trees:
            for path, module in each.modules:
                self._take_attributes(path, module)
        parameters = [p for each in self._trees for _, p in each.parameters]
        buffers = [b for each in self._trees for _, b in each.buffers]
        self._parameters = [(p, _grad_of(p), version(p)) for p in parameters]
        self._tensors = [
            (t, t.requires_grad, t.grad_fn, t._backward_hooks)
            for t in (*parameters, *buffers, *self._loose)
            if not t.is_inference()
        ]
        for hooks in (
            each for t in parameters for each in (t._backward_hooks, t._post_accumulate_grad_hooks)
        ):
            if hooks is not None:
                self._containers.append((hooks, _content(hooks)))
        self._unhooked = [p for p in parameters if p._post_accumulate_grad_hooks is None]
        self._containers += [(t.__dict__, _content(t.__dict__)) for t in parameters]
        self._homes = [(t, t.detach(), *_memory(t)) for t in (*parameters, *buffers)]
        self._owners: dict[int, list[Tensor]] = defaultdict(list)  # by the memory that they look at
        for t in (*self._loose, *parameters, *self._grads()):
            self._owners[_memory(t)[0]].append(t)
        self._grad_versions = [(grad, version(grad)) for grad in self._grads()]
        self._buffers = [(buffer, buffer.detach().clone(), version(buffer)) for buffer in buffers]
        self._written: dict[int, tuple[Tensor, Tensor, int]] = {}
        self._random = random_states({t.device for _, t in tree.tensors})

    def before_any_write(self) -> None:
        for owners in list(self._owners.values()):
            self.before_write(owners[0])

    def before_backward(self) -> None:
        """A backward pass adds to what .grad holds."""
        for grad in self._grads():
            self.before_write(grad)

    def before_write(self, tensor: Tensor) -> None:
        """Keep the values of the model's tensors that look at the same memory."""
        for owner in self._owners.get(_memory(tensor)[0], ()):
            if id(owner) not in self._written:
                self._written[id(owner)] = (owner, owner.detach().clone(), version(owner))

    def put_back(self) -> None:
        """raises: InvalidProbe for what cannot be put back, after all else was."""
        failed: list[Exception] = []
        with torch.no_grad():
            for step in self._steps():
                try:
                    step()
                except Exception as wrong:  # a container of the user's own may raise anything
                    failed.append(wrong)
        if failed:
            raise InvalidProbe(
                f"a part of the model's state could not be put back: {failed[0]}"
            ) from failed[0]

    def changed(self) -> bool:
        """Whether a parameter or its .grad was written to without the probe seeing it in time."""
        before = [*((p, then) for p, _, then in self._parameters), *self._grad_versions]
        return any(
            version(tensor) != then and id(tensor) not in self._written for tensor, then in before
        )

    def _grads(self) -> list[Tensor]:
        return [grad for _, grad, _ in self._parameters if grad is not None]

    def _take_attributes(self, path: str, module: nn.Module) -> None:
        here = module.__dict__
        self._containers.append((here, dict(here)))
        for name, value in here.items():
            if name not in _OF_EVERY_MODULE:
                self._take(f"{path}.{name}".lstrip("."), value, _DEPTH)
            elif isinstance(value, _CONTAINERS):  # whose tensors are parameters and buffers
                self._containers.append((value, _content(value)))

    def _take(self, path: str, value: Any, depth: int) -> None:
        """Remember what an attribute holds, as deep as it nests."""
        if isinstance(value, _SCALARS):
            return
        if isinstance(value, _CONTAINERS):
            content = _content(value)
            self._containers.append((value, content))
            if depth:
                named = content.items() if isinstance(content, dict) else enumerate(content)
                for key, each in named:
                    self._take(f"{path}.{key}", each, depth - 1)
        elif isinstance(value, tuple):
            for key, each in enumerate(value if depth else ()):
                self._take(f"{path}.{key}", each, depth - 1)
        elif isinstance(value, Tensor):
            self._loose.append(value)
        elif isinstance(value, np.ndarray):
            self._arrays.append((value, value.copy()))
        elif isinstance(value, nn.Module):
            if id(value) not in self._seen:
                tree = walked(value, path)
                self._seen |= {id(module) for _, module in tree.modules}
                self._trees.append(tree)
                if not isinstance(value, torch.jit.ScriptModule):  # another face of the model's own
                    self.hidden += tree.parameters
        elif (put_back := _generator(value)) is not None:
            self._generators.append(put_back)

    def _steps(self) -> Iterator[Callable[[], object]]:
        yield partial(set_random_states, self._random)
        yield from self._generators
        for container, content in self._containers:
            if (len(container) or content) and not _same(container, content):
                yield partial(_refill, container, content)
        for array, saved in self._arrays:
            yield partial(np.copyto, array, saved)
        for tensor, home, address, size in self._homes:
            if (
                _memory(home)[1] != size
            ):  # given back to the system, or grown; what it held is only there if it was copied
                yield partial(home.untyped_storage().resize_, size)
            if _memory(tensor)[0] != address:  # its data was replaced
                yield partial(setattr, tensor, "data", home)
        for p in self._unhooked:
            if p._post_accumulate_grad_hooks:
                yield p._post_accumulate_grad_hooks.clear
        for tensor, requires_grad, grad_fn, hooks in self._tensors:
            if tensor.grad_fn is not grad_fn:  # written to by what has a gradient
                yield tensor.detach_
            if tensor.requires_grad != requires_grad:
                yield partial(tensor.requires_grad_, requires_grad)
            if tensor._backward_hooks is not hooks:
                yield partial(setattr, tensor, "_backward_hooks", hooks)
        for tensor, saved, before in (*self._buffers, *self._written.values()):
            yield partial(_write_back, tensor, saved, written=version(tensor) != before)
        for p, grad, _ in self._parameters:
            if _grad_of(p) is not grad:
                yield partial(setattr, p, "grad", grad)


def _grad_of(parameter: Tensor) -> Tensor | None:
    """One that is made of others has none, and torch warns of asking."""
    return parameter.grad if parameter.is_leaf or parameter.retains_grad else None


def _generator(value: Any) -> Callable[[], object] | None:
    """What puts a generator of random numbers back to where it is now; None for anything else."""
    if isinstance(value, torch.Generator | np.random.RandomState):
        return partial(value.set_state, value.get_state())
    if isinstance(value, random.Random):
        return partial(value.setstate, value.getstate())
    if isinstance(value, np.random.Generator):
        return partial(setattr, value.bit_generator, "state", value.bit_generator.state)
    return None


def _content(container: Any) -> Any:
    if not len(container):  # its truth may be its own
        return _NOTHING
    return dict(container) if isinstance(container, dict) else list(container)


def _refill(container: Any, content: Any) -> None:
    container.clear()
    container.extend(content) if isinstance(container, list | deque) else container.update(content)


def _same(a: Any, b: Any) -> bool:
    """Whether two containers hold the same objects in the same order."""
    if len(a) != len(b):
        return False
    return all(map(is_, a, b)) and (
        not isinstance(a, dict) or all(map(is_, a.values(), b.values()))
    )


def _write_back(tensor: Tensor, saved: Tensor, written: bool) -> None:
    """Through .data, whose writing autograd does not count: what was saved for a backward pass of
    the user's stays good.

    written: whether autograd counted a change; where it did not, the bits tell.
    """
    if tensor.is_nested:
        tensor.data.copy_(saved)
    elif tensor.shape != saved.shape:
        tensor.set_(saved)  # type: ignore[call-overload]
    elif written or not bit_equal(tensor, saved):
        _copy(tensor.data, saved)


def _copy(into: Tensor, saved: Tensor) -> None:
    """Of what an expanded tensor repeats, once."""
    if into.layout is torch.strided:
        for i, (n, stride) in enumerate(zip(into.shape, into.stride(), strict=True)):
            if n > 1 and stride == 0:
                into, saved = into.narrow(i, 0, 1), saved.narrow(i, 0, 1)
    into.copy_(saved)


def bit_equal(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors of one shape and type hold the same bits; what is not a number equals
    itself. False for what is not plain memory: it is written back unread."""
    if a.is_meta:
        return True
    if a.layout is not torch.strided or a.is_quantized or is_own_kind(a):
        return False
    plain = (each.detach().resolve_conj().resolve_neg() for each in (a, b))
    if a.is_complex():
        plain = map(torch.view_as_real, plain)
    return torch.equal(*(each.view(_BITS[each.element_size()]) for each in plain))


def _memory(tensor: Tensor) -> tuple[int, int]:
    """Where a tensor's memory is, and how many bytes."""
    try:
        storage = tensor.untyped_storage()
        return storage.data_ptr(), storage.nbytes()
    except (RuntimeError, NotImplementedError):  # no plain memory
        return -id(tensor), 0
