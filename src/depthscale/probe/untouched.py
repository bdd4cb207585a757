"""Leaving no trace: a model's state is as it was when the context ends, however it ends."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from depthscale.probe.tree import Tree

_CONTAINERS = (list, dict, set)
_OF_EVERY_MODULE = frozenset(nn.Module().__dict__)
_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@contextmanager
def untouched(tree: Tree, unwatched: bool = False) -> Iterator["Kept"]:
    """Parameters, buffers, .grad, training flags, hooks, attributes and random states are put back at the end.

    unwatched: nobody will say what is about to be written to, so everything is copied at once.
    """
    kept = Kept(tree)
    if unwatched:
        kept.before_any_write()
    try:
        yield kept
    finally:
        kept.put_back()


class Kept:
    """A model's state. / Buffers are copied at once; a parameter, or a tensor that is a plain attribute, only when something is
    about to write to it."""

    def __init__(self, tree: Tree):
        self._modules = [(module, _shallow(module)) for _, module in tree.modules]
        self._homes = [(t, t.detach(), _address(t)) for _, t in tree.tensors]
        self._parameters = [(p, p.requires_grad, p.grad, p._version) for _, p in tree.parameters]
        own = [value for _, state in self._modules for name, (value, _) in state.items() if name not in _OF_EVERY_MODULE]
        loose = (t for value in own for t in _tensors(value, 3))
        kept = (*loose, *(p for p, *_ in self._parameters), *self._grads())
        self._by_storage = {_address(t): t for t in kept}
        self._grad_versions = [(grad, grad._version) for grad in self._grads()]
        self._buffers = [(buffer, buffer.detach().clone()) for _, buffer in tree.buffers]
        self._written: dict[int, tuple[Tensor, Tensor]] = {}
        self._random = _random_states({t.device for _, t in tree.tensors})
        self._generators = [put for value in own if (put := _generator(value))]

    def before_any_write(self) -> None:
        for tensor in self._by_storage.values():
            self.before_write(tensor)

    def before_backward(self) -> None:
        """A backward pass adds to what .grad holds."""
        for grad in self._grads():
            self.before_write(grad)

    def _grads(self) -> list[Tensor]:
        return [grad for _, _, grad, _ in self._parameters if grad is not None]

    def before_write(self, tensor: Tensor) -> None:
        """Keep a tensor's values, if it looks at the model's."""
        owner = self._by_storage.get(_address(tensor))
        if owner is not None and id(owner) not in self._written:
            self._written[id(owner)] = (owner, owner.detach().clone())

    def put_back(self) -> None:
        with torch.no_grad():
            for module, state in self._modules:
                _restore(module, state)
            for tensor, home, address in self._homes:
                if _address(tensor) != address:  # its data was replaced
                    tensor.data = home
            for tensor, saved in (*self._buffers, *self._written.values()):
                _write_back(tensor, saved)
        for p, requires_grad, grad, _ in self._parameters:
            if p.requires_grad != requires_grad:
                p.requires_grad_(requires_grad)
            if p.grad is not grad:
                p.grad = grad
        _set_random_states(self._random)
        for put_back in self._generators:
            put_back()

    def changed(self) -> bool:
        """Whether a parameter or its .grad was written to without the probe seeing it in time."""
        versions = [*((p, version) for p, _, _, version in self._parameters), *self._grad_versions]
        return any(tensor._version != version and id(tensor) not in self._written for tensor, version in versions)


def _shallow(module: nn.Module) -> dict[str, tuple[Any, Any]]:
    """Every attribute, and a copy of those that are plain containers."""
    return {name: (value, _copied(value)) for name, value in module.__dict__.items()}


def _tensors(value: Any, depth: int) -> Iterator[Tensor]:
    """Tensors in an attribute, as far down as a cache of keys and values nests them."""
    if isinstance(value, Tensor):
        yield value
    elif depth and isinstance(value, list | tuple | dict):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _tensors(each, depth - 1)


def _generator(value: Any) -> Callable[[], object] | None:
    """What puts a generator of random numbers back to where it is now; None for anything else."""
    if isinstance(value, torch.Generator):
        return partial(value.set_state, value.get_state())
    if isinstance(value, random.Random):
        return partial(value.setstate, value.getstate())
    if isinstance(value, np.random.Generator):
        return partial(setattr, value.bit_generator, "state", value.bit_generator.state)
    return None


def _copied(value: Any) -> Any:
    return value.copy() if isinstance(value, _CONTAINERS) else None


def _restore(module: nn.Module, state: dict[str, tuple[Any, Any]]) -> None:
    here = module.__dict__
    for name in [name for name in here if name not in state]:
        del here[name]
    for name, (value, content) in state.items():
        if name not in here or here[name] is not value:
            here[name] = value
        if content is not None and (value or content) and not _same(value, content):
            value.clear()
            value.extend(content) if isinstance(value, list) else value.update(content)


def _same(a: Any, b: Any) -> bool:
    """Whether two containers hold the same objects in the same order."""
    if len(a) != len(b):
        return False
    if isinstance(a, dict):
        return all(k is j and a[k] is b[j] for k, j in zip(a, b, strict=True))
    return all(x is y for x, y in zip(a, b, strict=True))


def _write_back(tensor: Tensor, saved: Tensor) -> None:
    if tensor.shape != saved.shape or not bit_equal(tensor, saved):
        tensor.set_(saved) if tensor.shape != saved.shape else tensor.copy_(saved)  # type: ignore[call-overload]


def bit_equal(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors of one shape and type hold the same bits; what is not a number equals itself."""
    if a.layout is not torch.strided:
        return False  # a sparse one is written back unread
    plain = (each.detach().resolve_conj().resolve_neg() for each in (a, b))
    if a.is_complex():
        plain = map(torch.view_as_real, plain)
    return torch.equal(*(each.view(_BITS[each.element_size()]) for each in plain))


def _address(tensor: Tensor) -> int:
    try:
        return tensor.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):  # no plain memory
        return -id(tensor)


def _random_states(devices: set[torch.device]) -> tuple[Any, ...]:
    on_devices = [(i, torch.cuda.get_rng_state(i)) for i in sorted(each.index for each in devices if each.type == "cuda")]
    return torch.get_rng_state(), on_devices, random.getstate(), np.random.get_state()  # noqa: NPY002


def _set_random_states(states: tuple[Any, ...]) -> None:
    on_cpu, on_devices, of_python, of_numpy = states
    torch.set_rng_state(on_cpu)
    for i, state in on_devices:
        torch.cuda.set_rng_state(state, i)
    random.setstate(of_python)
    np.random.set_state(of_numpy)  # noqa: NPY002
