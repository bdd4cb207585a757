"""Whether a model computes the same bits without the probe."""

from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import get_gradient_edge

from depthscale._probe import inputs as given
from depthscale._probe import internals, outputs
from depthscale._probe.calls import Followed
from depthscale._probe.interrupts import Held, Interruptible
from depthscale._probe.probe_pass import ProbePass
from depthscale._probe.sketching import dense
from depthscale._probe.state import bit_equal, model_state
from depthscale.run import Fate, FateKind, FateReason


def same_without_probe(run: ProbePass) -> bool:
    """Whether a plain run gives the same output and gradients, bit for bit. / run: after its last
    backward pass."""
    asked = run.asked
    with (
        Held(),
        internals.foremost(),
        model_state(run.tree, unwatched=True),
        torch.inference_mode(False),
        torch.enable_grad(),
        internals.as_written(),
        internals.eager(),
        ExitStack() as stack,
    ):
        asked.set_mode()
        ready = given.prepared(asked.inputs)
        stack.enter_context(Followed())
        leaves = [
            get_gradient_edge(t) for t in ready.tensors.values() if t.requires_grad
        ]  # before the model writes to them
        with Interruptible():
            target = asked.loss_of(asked.model(*ready.args, **ready.kwargs))
        wanted: list[Any] = [p for _, p in run.tree.parameters if p.requires_grad]
        generator = torch.Generator("cpu").manual_seed(asked.seed)
        drawn = [
            outputs.cotangent(run.kind, target.detach(), generator, asked.loss_scale)
            for _ in range(asked.repeats)
        ]
        with internals.only_hooks((p, None) for p in wanted), Interruptible():
            found = torch.autograd.grad([target], [*leaves, *wanted], drawn[-1:], allow_unused=True)
    probed = [*_of_inputs(run), *run.gradients[len(run.gradients) - len(wanted) :]]
    pairs = zip((target.detach(), *found), (run.target.detach(), *probed), strict=True)
    return all(b is _UNREACHED or _same(a, b) for a, b in pairs)


def plain_fates(run: ProbePass, known: dict[str, Fate]) -> dict[str, Fate]:
    """Fates as a plain step shows them, for what the probe's own graph cannot tell: which gradients
    come of backward passes inside a custom Function's. It costs what a step of training costs."""
    asked, parameters = run.asked, dict(run.tree.parameters)
    with (
        Held(),
        internals.foremost(),
        model_state(run.tree, unwatched=True),
        torch.inference_mode(False),
        torch.enable_grad(),
        internals.eager(),
        internals.only_hooks((p, None) for p in parameters.values()),
    ):
        asked.set_mode()
        for p in parameters.values():
            p.grad = None
            if p._post_accumulate_grad_hooks:
                p._post_accumulate_grad_hooks.clear()
        try:
            with Interruptible():
                _plain_step(run)
        except (
            Exception
        ):  # a model may only run where its inputs require gradients, as a probe's do
            return known
        return {name: _as_seen(fate, parameters.get(name)) for name, fate in known.items()}


def _plain_step(run: ProbePass) -> None:
    """A forward and a backward pass on inputs that require gradients where the user's do."""
    asked = run.asked
    ready = given.prepared(asked.inputs, followed=False)
    target = asked.loss_of(asked.model(*ready.args, **ready.kwargs))
    if target.requires_grad:
        generator = torch.Generator("cpu").manual_seed(asked.seed)
        target.backward(outputs.cotangent(run.kind, target.detach(), generator, asked.loss_scale))


def _as_seen(fate: Fate, parameter: Tensor | None) -> Fate:
    if parameter is None or fate.kind not in (FateKind.MOVES, FateKind.ZERO, FateKind.NONE):
        return fate
    if parameter.grad is None:
        kind = FateKind.NONE
    else:
        kind = FateKind.MOVES if dense(parameter.grad).any() else FateKind.ZERO
    return fate if kind is fate.kind else Fate(kind, None, FateReason.UNKNOWN)


_UNREACHED = object()  # an input that the probe found no way to


def _of_inputs(run: ProbePass) -> list[Any]:
    inputs = [op for op, call in enumerate(run.ops.calls) if call.path is not None]
    return [run.gradients[run.ends.index(op)] if op in run.ends else _UNREACHED for op in inputs]


def _same(a: Tensor | None, b: Tensor | None) -> bool:
    if a is None or b is None:
        return a is b
    return a.shape == b.shape and a.dtype == b.dtype and bit_equal(dense(a), dense(b))
