"""probe: one run of a model, every operation seen forward and backward, the model left as it was."""

import platform
from collections.abc import Callable
from dataclasses import replace
from math import inf, isinf, log2
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from depthscale.errors import InvalidProbe
from depthscale.probe import inputs as given
from depthscale.probe import internals, modules, outputs
from depthscale.probe.backward import Backward
from depthscale.probe.likeness import likeness
from depthscale.probe.merge import merged
from depthscale.probe.recorder import Draft, Recorder, sketch_of
from depthscale.probe.untouched import bit_equal, untouched
from depthscale.sketch import Sketch
from depthscale.trace import Coverage, Edge, NotSeen, Trace, TracedOp, TracedParameter

MODES = ("train", "eval")


def probe(
    model: nn.Module | Callable[[], Any],
    inputs: Any = None,
    *,
    loss: outputs.Loss = "independent",
    mode: str | None = None,
    params: bool = False,
    repeats: int = 1,
    seed: int = 0,
    output: str | None = None,
    loss_scale: float = 1.0,
    verify: bool = False,
    norms: bool = False,
) -> Trace:
    """Run a model once, forward and backward, and see every operation; the model is then as it was, bit for bit.

    model: any torch.nn.Module; or a function without arguments that makes one, or one and its inputs.
    inputs: a tensor, a tuple or list of arguments, or a mapping of keyword arguments; they are copied, and floating ones are
    differentiated. For integer inputs differentiation ends at the embeddings' outputs.
    loss: "independent": a standard-normal cotangent for every value of the output; "shared": one for all samples of the first
    axis, E = sum_t w . x_t; or a function of the model's output that returns a scalar. A scalar output is its own loss.
    mode: "train" or "eval"; None takes the model as it stands. / params: every parameter and its gradient, too.
    repeats: cotangents drawn, one backward pass each; of a function, models made, one after torch.manual_seed(seed + i) each.
    output: name of the output's part to differentiate, as "logits" or "0"; None: the tensor, .logits, .last_hidden_state, or
    the first floating one. / loss_scale: a power of two that multiplies the loss; gradients are reported without it.
    norms: record every norm's terms and every activation's slopes, which `explain` reads; about twice the time.
    verify: run the model plainly, too, and compare outputs and gradients bit by bit (Trace.verified).
    returns: Trace. / raises: InvalidProbe for what cannot be probed; what the model itself raises, with a note of where it was.
    """
    _require(mode in (None, *MODES), f"mode must be train, eval or None, got {mode!r}")
    _require(_is_count(repeats) and repeats > 0, f"repeats must be a whole number from 1, got {repeats!r}")
    _require(_is_count(seed) and seed >= 0, f"seed must be a whole number from 0, got {seed!r}")
    asked = {"loss": loss, "mode": mode, "params": params, "output": output, "verify": verify, "norms": norms}
    log2_scale = _log2_of(loss_scale)
    if isinstance(model, nn.Module) or not callable(model):
        return _probe(model, inputs, repeats=repeats, seed=seed, log2_scale=log2_scale, **asked)
    return merged(
        [
            _probe(*_made(model, inputs, seed + i), repeats=1, seed=seed + i, log2_scale=log2_scale, **asked)
            for i in range(repeats)
        ]
    )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _made(factory: Callable[[], Any], inputs: Any, seed: int) -> tuple[Any, Any]:
    """A model after its seed, and its inputs: the given ones, or those that the factory returns with it."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        made = factory()
    network, own = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    given.require_plain(network)
    return network, own if inputs is None else inputs


def _probe(
    model: nn.Module,
    inputs: Any,
    *,
    loss: outputs.Loss,
    mode: str | None,
    params: bool,
    repeats: int,
    seed: int,
    output: str | None,
    log2_scale: int,
    verify: bool,
    norms: bool,
) -> Trace:
    given.require_plain(model)
    _require(inputs is not None, "probe needs inputs: a tensor, a tuple of arguments, or a dict of keyword arguments")
    model = modules.unwrapped(model)
    with internals.foremost(), untouched(model) as kept, torch.inference_mode(False), torch.enable_grad():
        if mode is not None:
            model.train(mode == "train")
        run = _Run(model, inputs, loss, params or verify, repeats, seed, output, log2_scale, norms)
        run.forward(kept)
        run.backward()
        trace = run.trace(params)
    if kept.changed():
        raise InvalidProbe(
            "the forward pass writes to its parameters or their .grad where the probe could not keep them in time"
        )
    return replace(trace, verified=run.same_without_probe(mode)) if verify else trace


class _Run:
    """The steps of one probe, in the order of `probe`'s body."""

    def __init__(self, model, inputs, loss, with_params, repeats, seed, output, log2_scale, norms):
        self.model, self.user_inputs, self.loss, self.with_params = model, inputs, loss, with_params
        self.repeats, self.seed, self.part, self.log2_scale = repeats, seed, output, log2_scale
        self.norms = norms
        self.parameters = {name: p for name, p in model.named_parameters()}
        self.parameter_gradients: dict[str, list[Sketch]] = {}
        self.plain: list[Tensor | None] = []

    def forward(self, kept: Any) -> None:
        ready = given.prepared(self.user_inputs)
        given.require_same_device(self.model, ready)
        named = (*self.parameters.items(), *self.model.named_buffers())
        names = {id(tensor): modules.plain_path(name, self.model) for name, tensor in named}
        with modules.watched(self.model) as stack, internals.visible_checkpoints(), internals.eager():
            self.recorder = Recorder(stack, kept, names, self.norms)
            self.recorder.begin(ready.tensors, (*self.model.parameters(), *self.model.buffers()))
            try:
                with self.recorder:
                    returned = self.model(*ready.args, **ready.kwargs)
                    self.target = outputs.chosen(returned, self.part)
                    self.kind = outputs.kind_of(self.loss, self.target)
                    if callable(self.loss):
                        with stack.within("loss"):
                            self.target = _scalar(self.loss(returned))
            except Exception as wrong:
                if not isinstance(wrong, InvalidProbe):
                    wrong.add_note(f"while probing, in {_where(stack.deepest or stack.top)}")
                raise
        self.recorder.close([self.target])
        self.batch = self.target.shape[0] if self.target.dim() else _batch(ready)
        self.drafts = self.recorder.drafts
        if self.target.grad_fn is None:
            raise InvalidProbe(
                "nothing to differentiate: the output does not depend on the inputs or embeddings through anything that autograd "
                "follows (is the forward pass under no_grad, or detached at its end?)"
            )

    def backward(self) -> None:
        root = self.target.grad_fn
        assert root is not None
        self.root = (root, self.target.output_nr)
        self.reading = Backward(self.recorder, [self.root], -self.log2_scale)
        inside = set(self.reading.nodes)
        ends = [
            (op, GradientEdge(node, number))
            for op, draft in enumerate(self.drafts)
            if not draft.exits
            for node, number in draft.slots
            if node in inside
        ]
        if not ends:
            raise InvalidProbe("nothing to differentiate: no floating input and no embedding reaches the output")
        self.ends = [op for op, _ in ends]
        wanted = [p for p in self.parameters.values() if p.requires_grad] if self.with_params else []
        names = [name for name, p in self.parameters.items() if p.requires_grad] if self.with_params else []
        generator = torch.Generator().manual_seed(self.seed)
        self.sinks: list[Sketch] = []
        self.sources: dict[int, list[Sketch]] = {op: [] for op, _ in ends}
        for repeat in range(self.repeats):
            weight = outputs.cotangent(self.kind, self.target.detach(), generator, 2.0**self.log2_scale)
            self.sinks.append(sketch_of(weight, -self.log2_scale))
            with self.reading.watched(), internals.without_hooks(wanted):
                gradients = torch.autograd.grad(
                    [self.target],
                    [*(edge for _, edge in ends), *wanted],
                    [weight],
                    retain_graph=repeat + 1 < self.repeats,
                    allow_unused=True,
                )
            self._take(ends, gradients, names)

    def _take(self, ends: Any, gradients: Any, names: list[str]) -> None:
        found: dict[int, Sketch] = {}
        for (op, _), gradient in zip(ends, gradients, strict=False):
            if gradient is not None:
                sketch = self.reading.sketch(op, gradient)
                found[op] = found[op] + sketch if op in found else sketch
        for op, sketch in found.items():
            self.reading.arrivals[op].append(sketch)
            self.sources[op].append(sketch)
        for name, gradient in zip(names, gradients[len(ends) :], strict=True):
            if gradient is not None:
                self.parameter_gradients.setdefault(name, []).append(sketch_of(_dense(gradient), -self.log2_scale))
        self.plain = list(gradients)

    def trace(self, params: bool) -> Trace:
        labels = _labels(self.drafts)
        ops = tuple(self._op(i, label) for i, label in enumerate(labels))
        sink = self.recorder.claims.producer(self.root)
        assert sink is not None
        return Trace(
            ops=ops,
            params=self._parameters() if params else (),
            coverage=self._coverage(ops),
            sinks=((sink, tuple(map(log2_norm2, self.sinks))),),
            sources=tuple((op, tuple(map(log2_norm2, found))) for op, found in self.sources.items() if found),
            modules=modules.notes(self.model),
            model=type(self.model).__name__,
            mode=_mode(self.model),
            loss=self.kind,
            seed=self.seed,
            repeats=self.repeats,
            batch=self.batch,
            loss_scale=2.0**self.log2_scale,
            environment={
                "torch": torch.__version__,
                "python": platform.python_version(),
                "device": str(self.target.device),
                "architecture": modules.digest(self.model),
            },
            norms=self.norms,
        )

    def _op(self, number: int, label: str) -> TracedOp:
        draft, reading = self.drafts[number], self.reading
        arrived = reading.arrivals.get(number, [])
        edges = []
        for way, left in reading.departures.get(number, {}).items():
            source = self.recorder.claims.producer(way.target)
            assert source is not None
            edges.append(Edge(source, tuple(map(log2_norm2, left)), left[0].count))
        return TracedOp(
            id=number,
            name=label,
            op=draft.op,
            module=draft.path if draft.op != "input" else "",
            module_class=draft.module_class,
            call=draft.call,
            shape=draft.shape,
            dtype=draft.dtype,
            size=draft.size,
            activation=draft.activation,
            gradient=sum(arrived[1:], arrived[0]) if arrived else None,
            log2_gradient_norm2=tuple(map(log2_norm2, arrived)),
            reads=tuple(draft.reads),
            edges=tuple(edges),
            consumers=reading.consumers.get(number, 0),
            nodes=self.recorder.claims.sizes[number],
            settings=draft.settings,
            weights=tuple((name, shape, float(ms)) for name, shape, ms in draft.weights),
            split=reading.splits.get(number),
            likeness=None if draft.products is None else likeness(draft.products),
            dead=None if draft.dead is None else float(draft.dead),
            log2_activation_samples=() if draft.activation is None else (draft.activation.log2_mean_square(),),
            terms=tuple(reading.norms.terms.get(number, ())),
            slopes=tuple(reading.norms.slopes.get(number, ())),
        )

    def _parameters(self) -> tuple[TracedParameter, ...]:
        return tuple(
            TracedParameter(
                modules.plain_path(name, self.model),
                tuple(p.shape),
                sketch_of(p),
                sum(found[1:], found[0]) if (found := self.parameter_gradients.get(name)) else None,
            )
            for name, p in self.parameters.items()
        )

    def _coverage(self, ops: tuple[TracedOp, ...]) -> Coverage:
        nodes, claims = self.reading.nodes, self.recorder.claims
        unseen = [node for node in nodes if not claims.known(node)]
        kinds: dict[str, int] = {}
        for node in unseen:
            kinds[type(node).__name__] = kinds.get(type(node).__name__, 0) + 1
        missed = [NotSeen(kind, "no torch function announced these autograd nodes", n) for kind, n in kinds.items()]
        return Coverage(
            ops_seen=len(ops),
            ops_with_gradient=sum(op.gradient is not None for op in ops),
            autograd_nodes=len(nodes),
            nodes_seen=len(nodes) - len(unseen),
            not_seen=(*missed, *self.recorder.not_seen, *self.reading.not_seen),
        )

    def same_without_probe(self, mode: str | None) -> bool:
        """Whether a plain run gives the same output and gradients, bit for bit."""
        with (
            internals.foremost(),
            untouched(self.model, unwatched=True),
            torch.inference_mode(False),
            torch.enable_grad(),
            internals.visible_checkpoints(),
            internals.eager(),
        ):
            if mode is not None:
                self.model.train(mode == "train")
            ready = given.prepared(self.user_inputs)
            leaves = [
                get_gradient_edge(t) for t in ready.tensors.values() if t.requires_grad
            ]  # before the model writes to them
            returned = self.model(*ready.args, **ready.kwargs)
            target = outputs.chosen(returned, self.part)
            if callable(self.loss):
                target = _scalar(self.loss(returned))
            same = _same(target.detach(), self.target.detach())
            wanted = [p for p in self.parameters.values() if p.requires_grad]
            generator = torch.Generator().manual_seed(self.seed)
            drawn = [
                outputs.cotangent(self.kind, target.detach(), generator, 2.0**self.log2_scale) for _ in range(self.repeats)
            ]
            with internals.without_hooks(wanted):
                found = torch.autograd.grad([target], [*leaves, *wanted], drawn[-1:], allow_unused=True)
        probed = self.plain[len(self.plain) - len(wanted) :]
        return (
            same and all(_same(a, b) for a, b in zip(found[len(leaves) :], probed, strict=True)) and self._same_sources(found)
        )

    def _same_sources(self, found: Any) -> bool:
        inputs = [i for i, draft in enumerate(self.drafts) if draft.op == "input"]
        return all(_same(found[k], self.plain[self.ends.index(op)]) for k, op in enumerate(inputs) if op in self.ends)


def log2_norm2(sketch: Sketch) -> float:
    """log2 of the sum of squares; nan where a value is not finite."""
    if sketch.nans or sketch.infs:
        return float("nan")
    level = sketch.log2_mean_square()
    return level if isinf(level) or not sketch.count else level + log2(sketch.count)


def _labels(drafts: list[Draft]) -> list[str]:
    """A name for every operation: its module's path where the module runs it alone, else with the function's; "#k" from the
    second use on."""
    alone: dict[tuple[str, int], int] = {}
    for draft in drafts:
        alone[draft.path, draft.call] = alone.get((draft.path, draft.call), 0) + 1
    seen: dict[str, int] = {}
    labels = []
    for draft in drafts:
        by_itself = draft.op == "input" or (draft.leaf_module and draft.path and alone[draft.path, draft.call] == 1)
        plain = draft.path if by_itself else ".".join(part for part in (draft.path, draft.op) if part)
        seen[plain] = seen.get(plain, 0) + 1
        labels.append(plain if seen[plain] == 1 else f"{plain}#{seen[plain]}")
    return labels


def _same(a: Tensor | None, b: Tensor | None) -> bool:
    if a is None or b is None:
        return a is b
    return a.shape == b.shape and a.dtype == b.dtype and bit_equal(_dense(a), _dense(b))


def _dense(tensor: Tensor) -> Tensor:
    return tensor if tensor.layout is torch.strided else tensor.to_dense()


def _scalar(loss: Any) -> Tensor:
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        shape = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
        raise InvalidProbe(f"loss= must return one number, as a tensor, got {shape}; sum or average it")
    return loss


def _batch(ready: given.Inputs) -> int:
    return next((t.shape[0] for t in ready.tensors.values() if t.dim()), 1)


def _where(call: modules.Call) -> str:
    return f"{call.path or 'the model'} ({type(call.module).__name__})"


def _mode(model: nn.Module) -> str:
    modes = {module.training for module in model.modules()}
    return "mixed" if len(modes) > 1 else MODES[not modes.pop()]


def _log2_of(scale: float) -> int:
    exponent = log2(scale) if isinstance(scale, int | float) and 0 < scale < inf else 0.5
    _require(exponent == int(exponent), f"loss_scale must be a power of two, got {scale!r}; rescaling by any other would round")
    return int(exponent)


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise InvalidProbe(otherwise)
