"""What a step of training would not move, and what keeps it: parameters by their fates, grouped by
cause."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf, prod

from depthscale._diagnose.trouble import Trouble
from depthscale._diagnose.words import span
from depthscale.measure import Analysis
from depthscale.network import Hazard, is_derivative
from depthscale.run import FateKind, FateReason, Reading, Run, TracedParameter, kept

STOPS = {  # why there is none: the trouble, and what the gradient stops at
    FateReason.DETACH: (Trouble.DETACHED, "detach"),
    FateReason.NO_GRAD: (Trouble.NO_GRAD, "torch.no_grad()"),
    FateReason.INDEX: (
        Trouble.INDEXED,
        "an index or a comparison (argmax, round to integers, ...)",
    ),
    FateReason.CHECKPOINT: (
        Trouble.CHECKPOINT,
        "a reentrant checkpoint that is given nothing which requires a gradient",
    ),
    FateReason.OUTSIDE: (Trouble.OUTSIDE, "values that leave torch (item(), as_tensor of a list)"),
    FateReason.UNKNOWN: (Trouble.CUT, "something that was not seen"),
}
_ZEROS = {
    FateReason.ZERO_GRADIENT: Trouble.ZEROED,
    FateReason.ZERO_INPUT: Trouble.SILENT,
    FateReason.ZERO_FACTOR: Trouble.BOTH_ZERO,
    FateReason.ROUNDED: Trouble.ROUNDED,
    FateReason.MASKED: Trouble.MASKED,
    FateReason.UNDERFLOW: Trouble.UNDERFLOW,
    FateReason.UNKNOWN: Trouble.ZEROED,
}
_SILENT = (Trouble.SILENT, Trouble.BOTH_ZERO)


@dataclass(frozen=True)
class Unmoved:
    """Parameters that one thing keeps from learning.

    Attributes:
        trouble: what it is.
        params: those parameters.
        makers: the operations that make it so, of one kind, in the order of running.
        hazard: what these do; None of what is not known.
        share: of all elements that are to be trained and run.
    """

    trouble: Trouble
    params: tuple[TracedParameter, ...]
    makers: tuple[Reading, ...]
    hazard: Hazard | None
    share: float

    @property
    def names(self) -> set[str]:
        return {p.name for p in self.params}

    def readers(self, trace: Run) -> list[Reading]:
        """The operations that these parameters go into."""
        names = self.names
        return [op for op in trace.ops if any(name in names for name, *_ in op.weights)]

    def who(self, trace: Run) -> str:
        """The parameters in a few words, by their operations or their names."""
        ops, first, names = self.readers(trace), self.params[0].name, self.names
        beside = any(n not in names for op in ops for n, s, _ in op.weights if n and len(s) > 1)
        if not ops or beside or _spread(trace, self.params):
            last = f" ... {self.params[-1].name} ({len(self.params)} parameters)"
            return f"{first}{last if len(self.params) > 1 else ''}"
        return f"{span(ops)} ({len(ops)} operations with weights)" if len(ops) > 1 else span(ops)


def _spread(trace: Run, params: tuple[TracedParameter, ...]) -> bool:
    """Whether modules have other parameters to be trained that move, so that names tell more."""
    parents = {p.name.rpartition(".")[0] for p in params}
    names = {p.name for p in params}
    return any(
        p.name.rpartition(".")[0] in parents and p.name not in names
        for p in trace.params
        if len(p.shape) > 1
    )


def unmoved(case: Analysis) -> tuple[Unmoved, ...]:
    """What gets no gradient, or one of exactly 0, and does not wait for others to learn."""
    return kept(case, "_unmoved", lambda: tuple(_unmoved(case.trace)))


def nothing_moves(case: Analysis) -> bool:
    """Whether of all that is to be trained nothing gets a gradient."""
    kinds = {p.fate.kind for p in case.trace.params}
    lost = any(each.trouble is not Trouble.UNDERFLOW for each in unmoved(case))
    return lost and FateKind.MOVES not in kinds


def learning_zeros(case: Analysis) -> list[Reading]:
    """Operations whose output is 0 because weights of theirs are, which learn first."""
    moves = {p.name for p in case.trace.params if p.fate.kind is FateKind.MOVES}
    return [
        op
        for op in case.trace.ops
        if _is_silent(op) and any(n in moves and ms == 0 for n, _, ms in op.weights)
    ]


def _unmoved(trace: Run) -> Iterator[Unmoved]:
    groups: dict[tuple[Trouble, str], list[TracedParameter]] = defaultdict(list)
    makers: dict[str, int] = {}
    for p in trace.params:
        trouble = _trouble(trace, p)
        if trouble is None:
            continue
        label = ""
        if p.fate.op is not None:
            makers[p.name] = _root(trace, p.fate.op) if trouble in _SILENT else p.fate.op
            label = "" if trouble in CUTS else trace.ops[makers[p.name]].op
        groups[trouble, label].append(p)
    trained = sum(prod(p.shape) for p in trace.params if p.fate.kind is FateKind.MOVES)
    whole = trained + sum(prod(p.shape) for group in groups.values() for p in group)
    for (trouble, _), params in groups.items():
        found = sorted({makers[p.name] for p in params if p.name in makers})
        ops = tuple(trace.ops[i] for i in found)
        share = sum(prod(p.shape) for p in params) / whole if whole else 0.0
        yield Unmoved(trouble, tuple(params), ops, ops[0].hazard if ops else None, share)


def _root(trace: Run, op: int) -> int:
    """The first operation whose output is exactly 0, of one whose output is."""
    while below := [i for i in trace.ops[op].reads if i < op and _is_silent(trace.ops[i])]:
        op = below[0]
    return op


def is_chosen(trace: Run, op: Reading) -> bool:
    """Whether an operation hands back 0 because of a factor that is 0: written so, drawn at random,
    or for what was not chosen."""
    if 0 in (op.settings.get("left"), op.settings.get("right")):
        return True
    roots = [trace.ops[_root(trace, i)] for i in op.reads if _is_silent(trace.ops[i])]
    choose = (Hazard.SELECTION, Hazard.RANDOM)
    return any(root.hazard in choose or not (root.reads or root.is_input) for root in roots)


def _is_silent(op: Reading) -> bool:
    return op.log2_activation_ms == -inf


def _derives(op: Reading) -> bool:
    """Whether it is a gradient, taken inside the forward pass."""
    return is_derivative(op.op)


def _silence(trace: Run, op: Reading) -> Trouble:
    """Whether weights that are 0, and do not learn first, make an output 0."""
    root = trace.ops[_root(trace, op.id)]
    zeros = any(name and ms == 0 and len(shape) > 1 for name, shape, ms in root.weights)
    return Trouble.BOTH_ZERO if zeros else Trouble.SILENT


def _trouble(trace: Run, p: TracedParameter) -> Trouble | None:
    fate = p.fate
    if not prod(p.shape) or fate.reason is None:
        return None
    if fate.kind is FateKind.NONE:
        return STOPS[fate.reason][0] if fate.reason in STOPS else None
    if fate.kind is not FateKind.ZERO:
        return None
    trouble = _ZEROS.get(fate.reason)
    if trouble is Trouble.SILENT and fate.op is not None:
        return _silence(trace, trace.ops[fate.op])
    if trouble is not Trouble.ZEROED or fate.op is None:
        return trouble
    maker = trace.ops[fate.op]
    if maker.phi is not None and maker.phi.homogeneous and any(map(_derives, trace.ops)):
        return Trouble.PIECEWISE
    if _is_silent(maker):
        return _silence(trace, maker)
    if maker.phi is not None and maker.phi.ends is not None:
        return Trouble.SATURATED
    return Trouble.UNDERFLOW if _loses(maker) else trouble


def _loses(op: Reading) -> bool:
    """Whether what an operation hands back is a product in 16 bits, which may become 0."""
    constant = (Hazard.STEP, Hazard.SELECTION, Hazard.LIMIT)
    return op.is_half and op.hazard not in constant


CUTS = {trouble for trouble, _ in STOPS.values()}
