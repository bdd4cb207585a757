"""One run of a model under the probe: forward, backward, and the trace of both."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, Node

from depthscale._probe import inputs as given
from depthscale._probe import internals, modules, outputs
from depthscale._probe.backward import Backward
from depthscale._probe.call_records import Role
from depthscale._probe.fates import Flow, fates
from depthscale._probe.interrupts import Interruptible
from depthscale._probe.labels import overwriting
from depthscale._probe.parameters import Parameters
from depthscale._probe.probe_options import ProbeOptions
from depthscale._probe.recorder import Recorder
from depthscale._probe.resolve import resolved
from depthscale._probe.rows import OperationRows, environment
from depthscale._probe.state import StateGuard
from depthscale._probe.tree import Tree
from depthscale._probe.turning import turned
from depthscale.errors import InvalidProbe
from depthscale.run import (
    Fate,
    FateKind,
    OptimizerStep,
    Probed,
    Run,
    Turn,
    recorded_run,
)
from depthscale.sketch import Sketch

_BESIDE = (
    "an output that is not differentiated, nor what leads to it alone; output= names "
    "another one, loss= takes all of them"
)


class ProbePass:
    """The steps of one probe, in this order: forward, backward, trace."""

    def __init__(self, asked: ProbeOptions, tree: Tree):
        self.asked, self.tree = asked, tree
        self.parameters = Parameters(
            tree, -asked.log2_scale, sketched=asked.params, kept=asked.verify
        )
        self.gradients: Sequence[
            Tensor | None
        ] = ()  # of the last backward pass, kept where they are compared

    def forward(self, kept: StateGuard) -> None:
        asked, ready = self.asked, given.prepared(self.asked.inputs)
        given.require_same_device(self.tree, ready)
        with modules.watched(self.tree) as stack, internals.eager():
            recorder = Recorder(stack, self.parameters, kept, asked.norms)
            recorder.begin(ready.tensors)
            try:
                with internals.as_written(recorder.checkpoint), recorder, Interruptible():
                    returned = asked.model(*ready.args, **ready.kwargs)
                    self.kind = outputs.kind_of(asked.loss, outputs.chosen(returned, asked.output))
                    with stack.within("loss"):
                        self.target = asked.loss_of(returned)
            except BaseException as wrong:
                recorder.release()
                if isinstance(wrong, Exception) and not isinstance(wrong, InvalidProbe):
                    wrong.add_note(f"while probing, in {_where(stack.deepest or stack.top)}")
                raise
        recorder.close([self.target])
        self.outputs = [
            (name, t.grad_fn) for name, t in outputs.named_leaves(returned) if t.grad_fn is not None
        ]
        self.batch = self.target.shape[0] if self.target.dim() else ready.batch
        self.ops = resolved(recorder.calls, recorder.checkpoints)
        self.not_seen, self.checkpoints = recorder.not_seen, recorder.checkpoints
        self.outside = recorder.outside
        self.trained_inputs, self.hidden = ready.trained, dict(kept.hidden)
        self.picks = next((c.name for c in recorder.calls[::-1] if c.role is Role.INDEX), "")
        recorder.release()
        if self.target.grad_fn is None:
            weights = [p for _, p in self.tree.parameters]
            why = outputs.why_nothing(list(ready.tensors.values()), weights, self.picks)
            raise InvalidProbe(f"nothing to differentiate: {why}")

    def backward(self, kept: StateGuard) -> None:
        root = self.target.grad_fn
        assert root is not None
        self.root = (root, self.target.output_nr)
        self.reading = Backward(self.ops, [self.root], -self.asked.log2_scale, self.asked.norms)
        self.flow = self._flow(root)
        self.parameters.derived = self.flow.asked = self.flow.derived()
        if self.flow.may_hide():
            kept.before_backward()  # a Function whose backward runs one of its own adds to .grad
        ends = self._ends()
        self.ends = [op for op, _ in ends]
        self.sinks: list[Sketch] = []
        self.sources: dict[int, list[Sketch]] = {op: [] for op in self.ends}
        self.parameters.kept |= self._is_stepped
        generator = torch.Generator("cpu").manual_seed(self.asked.seed)
        for repeat in range(self.asked.repeats):
            self._pass(ends, generator, last=repeat + 1 == self.asked.repeats)

    def _flow(self, root: Node) -> Flow:
        names = {**self.hidden, **dict(self.tree.parameters)}
        return Flow(
            self.ops.calls,
            self.ops.owners,
            self.reading.arrivals,
            root,
            self.checkpoints,
            self.trained_inputs,
            names,
            {name for name, p in names.items() if id(p) in self.outside},
        )

    def _ends(self) -> list[tuple[int, GradientEdge]]:
        """Where gradients end: operations with no way out, and their slots."""
        inside = set(self.reading.nodes)
        ends = [
            (op, GradientEdge(node, number))
            for op, call in enumerate(self.ops.calls)
            if not call.exits
            for node, number in call.slots
            if node in inside
        ]
        if not ends:
            raise InvalidProbe(
                "nothing to differentiate: no floating input and no embedding reaches the output"
            )
        return ends

    def _pass(
        self, ends: list[tuple[int, GradientEdge]], generator: torch.Generator, last: bool
    ) -> None:
        """One backward pass, of a cotangent of its own."""
        scale, target = self.asked.loss_scale, self.target
        weight = outputs.cotangent(self.kind, target.detach(), generator, scale)
        parameters = (p for _, p in self.parameters.differentiated)
        wanted: list[Any] = [*(edge for _, edge in ends), *parameters]
        with (
            self.reading.watched(),
            self.parameters.watched(self.root[0]),
            internals.as_written(),
            internals.eager(),
        ):
            self.sinks.append(self.reading.hand(self.root, weight))
            with self._overwriting_named(), Interruptible():
                gradients = torch.autograd.grad(
                    [target], wanted, [weight], retain_graph=not last, allow_unused=True
                )
            self._take(ends, gradients)
            self.parameters.take(gradients[len(ends) :])

    @contextmanager
    def _overwriting_named(self) -> Iterator[None]:
        """Where the model overwrites what its own backward pass needs, a note of who does."""
        try:
            yield
        except RuntimeError as wrong:
            owner = self.ops.owners.owner
            changed = (op for node, op in owner.items() if internals.has_changed(node))
            if (needs := min(changed, default=None)) is not None:
                wrong.add_note(overwriting(self.ops.calls, needs))
            raise

    def _take(self, ends: Any, gradients: Any) -> None:
        found: dict[int, Sketch] = {}
        for (op, edge), gradient in zip(ends, gradients, strict=False):
            if gradient is not None:
                sketch = self.reading.arrived(op, (edge.node, edge.output_nr), gradient)
                found[op] = found[op] + sketch if op in found else sketch
        for op, sketch in found.items():
            self.reading.end_at(op, sketch)
            self.sources[op].append(sketch)
        if self.parameters.kept:
            self.gradients = gradients

    @property
    def _is_stepped(self) -> bool:
        """Whether the optimizer's step is taken: after a loss, in a mode that trains."""
        is_loss = self.kind in ("callable", "output")
        return self.asked.optimizer is not None and is_loss and self.tree.mode != "eval"

    def _stepped(self, fates: Mapping[str, Fate]) -> tuple[OptimizerStep | None, dict[str, Turn]]:
        """What the optimizer makes of the gradients that the user's own step has."""
        if not self._is_stepped or self.asked.optimizer is None:
            return None, {}
        differentiated = self.parameters.differentiated
        whole = self.gradients[len(self.gradients) - len(differentiated) :]
        got = [
            (name, p, gradient / self.asked.loss_scale)
            for (name, p), gradient in zip(differentiated, whole, strict=True)
            if gradient is not None and fates[name].kind in (FateKind.MOVES, FateKind.ZERO)
        ]
        return turned(self.asked.optimizer, got)

    def run(self) -> Run:
        rows = OperationRows(self.ops, self.reading)
        ops = rows.all()
        sink = self.ops.owners.producer(self.root)
        assert sink is not None
        fates = self._fates()
        step, turns = self._stepped(fates)
        params = self.parameters.traced(fates, self.hidden, turns)  # tells what it cannot count
        others = (*self.not_seen, *self.reading.not_seen, *self.parameters.not_seen)
        origin = Probed(
            model=type(self.asked.model).__name__,
            mode=self.tree.mode,
            seed=self.asked.seed,
            repeats=self.asked.repeats,
            batch=self.batch,
            coverage=rows.coverage(ops, self.outputs, others),
            sinks=((sink, rows.norms2(self.sinks)),),
            sources=tuple((op, rows.norms2(found)) for op, found in self.sources.items() if found),
            details=tuple(row.details for row in ops),
            params=params,
            loss_scale=self.asked.loss_scale,
            environment=environment(self.tree, self.target.device),
            norms=self.asked.norms,
            step=step,
        )
        return recorded_run(ops, self.tree.notes(), self.kind, origin)

    def _fates(self) -> dict[str, Fate]:
        found = fates(
            self.flow,
            self.tree.parameters,
            list(self.hidden.items()),
            self.parameters.gradients,
            self.asked.optimized,
        )
        lost = any(fate.kind is FateKind.NONE for fate in found.values())
        self.is_unsure = lost and self.flow.may_hide()
        return found


def _where(call: modules.ModuleCall) -> str:
    return f"{call.path or 'the model'} ({type(call.module).__name__})"
