"""What every probe owes: the model as it was, every node accounted for, the same bits as without
it, and a ledger that closes."""

import random
from hashlib import sha256
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from depthscale._probe import probe
from depthscale.measure import ledger
from depthscale.run import Run

CLOSES = 1e-5  # log2, of the closure error


def state(model: nn.Module) -> list[Any]:
    """All that a probe could leave behind: values by their bits, everything else by identity and in
    order."""
    found: list[Any] = [
        _bits(torch.get_rng_state()),
        hash(random.getstate()),
        hash(repr(np.random.get_state())),  # noqa: NPY002
    ]
    for path, module in model.named_modules():
        found.append(
            (
                path,
                module.training,
                [(name, id(value), _content(value)) for name, value in module.__dict__.items()],
            )
        )
    for name, p in model.named_parameters():
        found.append(
            (
                name,
                id(p),
                p.data_ptr(),
                _bits(p),
                p.requires_grad,
                id(p.grad),
                _hooks(p._backward_hooks),
            )
        )
        found.append(
            (_hooks(p._post_accumulate_grad_hooks), None if p.grad is None else _bits(p.grad))
        )
    return found + [
        (name, id(b), _bits(b), b.layout is torch.strided and b.data_ptr())
        for name, b in model.named_buffers()
    ]


def _bits(tensor: Tensor) -> str:
    tensor = tensor.detach()
    if tensor.layout is not torch.strided:
        tensor = tensor.to_dense()
    return sha256(tensor.clone().reshape(-1).view(torch.uint8).numpy().tobytes()).hexdigest()


def _content(value: Any) -> Any:
    if isinstance(value, dict):
        return [(key, id(each)) for key, each in value.items()]
    return [id(each) for each in value] if isinstance(value, list | tuple) else None


def _hooks(hooks: Any) -> Any:
    return None if hooks is None else [(key, id(hook)) for key, hook in hooks.items()]


def probed(model: nn.Module, inputs: Any, *, explained: bool = False, **settings: Any) -> Run:
    """A trace of a model, after checking that the probe left none and missed nothing. / explained:
    something may be missed, if the trace says so."""
    before = state(model)
    trace = probe(model, inputs, verify=True, **settings)
    assert state(model) == before
    assert trace.verified
    if not explained:
        assert trace.coverage.not_seen == ()
        assert trace.coverage.share == 1
    assert trace.coverage.share == 1 or trace.coverage.not_seen
    assert ledger(trace).closure_error < CLOSES
    return trace


def kinds(trace: Run) -> list[str]:
    """Names of the functions, in the order of running, inputs left out."""
    return [op.op for op in trace.ops if op.op != "input"]
