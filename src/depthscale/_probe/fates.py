"""What a step of the user's would do to each parameter, told from the probe's own graph.

The probe makes inputs require gradients and reentrant checkpoints visible, which may bring a
gradient where the user's own step brings none. What requires one through that alone is left out
here. Only where a custom autograd Function stands in the way, whose backward may run a graph of its
own, a second, plain step is run; it costs what a step of training costs.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node

from depthscale._probe import internals
from depthscale._probe.call_records import Call, Checkpoint
from depthscale._probe.nodes import NodeOwners
from depthscale.network import torch_calls
from depthscale.run import Fate, FateKind, FateReason
from depthscale.sketch import Sketch


@dataclass
class Flow:
    """What is known of a run's operations, by their numbers.

    Args:
        calls: The operations.
        owners: Of autograd's nodes.
        arrivals: Sketches of the gradient that arrived at each.
        root: What is differentiated.
        checkpoints: The reentrant ones.
        trained_inputs: Inputs that the user gave with requires_grad, by name.
        names: Parameters, by name.
        outside: Names of those whose values left torch.
        asked: Identities of those whose own gradient autograd was asked for.
    """

    calls: Sequence[Call]
    owners: NodeOwners
    arrivals: Mapping[int, Sequence[Sketch]]
    root: Node
    checkpoints: Sequence[Checkpoint]
    trained_inputs: set[str]
    names: Mapping[str, Tensor]
    outside: set[str]
    readers: dict[int, list[tuple[Node, int]]] = field(default_factory=lambda: defaultdict(list))
    variables: dict[int, Tensor] = field(default_factory=dict)
    asked: set[int] = field(default_factory=set)
    consumers: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        for node, op in self.owners.owner.items():
            if self.calls[op].path is not None:  # an input's own leaf is the probe's
                continue
            for below, _ in node.next_functions:
                if below is not None and internals.is_leaf(below):
                    variable: Tensor = below.variable  # type: ignore[attr-defined]
                    self.variables[id(variable)] = variable
                    self.readers[id(variable)].append((node, op))
        for op, call in enumerate(self.calls):
            for source in call.reads:
                self.consumers[source].append(op)
        named = {id(p): name for name, p in self.names.items()}
        self.read: dict[int, set[str]] = defaultdict(set)  # what parameters an operation reads
        for p, found in self.readers.items():
            for _, op in found:
                if p in named:
                    self.read[op].add(named[p])
        for op, call in enumerate(self.calls):
            self.read[op] |= {name for name, *_ in call.weights if name in self.names}
        self.cut = self._cut()
        self.live = self._live()

    def _cut(self) -> set[int]:
        """Operations inside a reentrant checkpoint none of whose inputs requires a gradient but
        through what the probe made require one."""
        spans = [c for c in self.checkpoints if not c.trained]
        if not spans:
            return set()
        learned = {op for found in self.readers.values() for _, op in found}
        trained, cut = set[int](), set[int]()
        for op, call in enumerate(self.calls):
            inside = [c for c in spans if op in c.inside]
            if any(not trained & set(c.reads) for c in inside):
                cut.add(op)
            elif (
                op in learned
                or call.path in self.trained_inputs
                or any(self.owners.producer(way.target) in trained for way in call.exits)
            ):
                trained.add(op)
        return cut

    def _live(self) -> set[Node]:
        """Autograd's nodes that the user's backward pass goes through."""
        live, waiting = set[Node](), [self.root]
        while waiting:
            node = waiting.pop()
            if node in live or self.owners.owner.get(node) in self.cut:
                continue
            live.add(node)
            waiting += [
                below
                for below, _ in node.next_functions
                if below is not None and not internals.is_leaf(below)
            ]
        return live

    def fate(self, name: str, parameter: Tensor, gradient: Sketch | None) -> Fate:
        """Of a parameter that requires a gradient. / gradient: its own, where it was counted."""
        readers = self.readers.get(id(parameter), [])
        live = [(node, op) for node, op in readers if node in self.live]
        ops = [op for node, op in live if self.arrivals.get(op) or self._goes_around(node, op)]
        if live and not ops and self.calls[live[0][1]].size:
            return Fate(FateKind.NONE, live[0][1], FateReason.SWALLOWED)
        if not ops:
            return self._without(name, [op for _, op in readers])
        if gradient is not None and not _is_zero([gradient]):
            return Fate(FateKind.MOVES)
        if gradient is None and self.asked and id(parameter) in self.asked:
            return Fate(FateKind.NONE, ops[0], FateReason.SWALLOWED)
        zeros = [self._zero(op, parameter) for op in ops]
        alive = [op for op, zero in zip(ops, zeros, strict=True) if zero is None]
        if not alive:
            return zeros[0] or Fate(FateKind.MOVES)
        if gradient is not None and _is_zero([gradient]):
            return Fate(FateKind.ZERO, alive[0], self._without_a_trace(alive[0], name))
        return Fate(FateKind.MOVES)

    def _without_a_trace(self, op: int, name: str) -> FateReason:
        """Why a gradient is 0 though what arrives and what it multiplies are not."""
        if self.calls[op].dtype in ("float16", "bfloat16"):
            return FateReason.UNDERFLOW
        if torch_calls.is_assembly(self.calls[op].name):
            return FateReason.MASKED
        if any(n == name for n, *_ in self.calls[op].weights):
            return FateReason.UNKNOWN
        nodes = (type(n).__name__ for n, i in self.owners.owner.items() if i == op)
        if any(torch_calls.is_step(node) for node in nodes):
            return FateReason.ROUNDED
        zeros = any(self._is_zero_now(name) for name in self.read[op])
        return FateReason.ZERO_FACTOR if zeros else FateReason.MASKED

    def derived(self) -> set[int]:
        """Identities of parameters of which others are made before an operation takes them, as a
        merged adapter's, of those that are put beside others, and of those that a second derivative
        reads: only their own gradient tells what becomes of them."""
        makes = {
            op
            for op, c in enumerate(self.calls)
            if any(not name for name, *_ in c.weights) or torch_calls.is_assembly(c.name)
        }
        if any(torch_calls.is_derivative(c.name) for c in self.calls):
            return set(self.readers)  # a gradient taken inside reads weights in ways of its own
        return {
            p
            for p, found in self.readers.items()
            if any(
                op in makes or self._goes_around(node, op) or _is_custom(node) for node, op in found
            )
        }

    def _goes_around(self, node: Node, op: int) -> bool:
        """Whether a gradient comes to a node of an operation, and not by its output, as of a second
        derivative."""
        return node in self.live and not any(own in self.live for own, _ in self.calls[op].slots)

    def learns_first(self, op: int, known: Mapping[str, Fate]) -> bool:
        """Whether weights of an operation, or of what makes the zeros that it reads, are 0 and get
        a gradient, so that what waits for them gets one in the next step."""
        ops = [op]
        for each in ops:
            ops += [i for i in self.calls[each].reads if i not in ops and self._are_zero([i])]
        moving = (
            name
            for each in ops
            for name in self.read[each]
            if name in known and known[name].kind is FateKind.MOVES
        )
        return any(self._is_zero_now(name) for name in moving)

    def _is_zero_now(self, name: str) -> bool:
        return not self.names[name].detach().any()

    def _zero(self, op: int, parameter: Tensor) -> Fate | None:
        """Whether the gradient that a parameter gets in an operation is exactly 0."""
        call = self.calls[op]
        if not call.size:
            return Fate(FateKind.ZERO, op, FateReason.EMPTY)
        if self.arrivals.get(op) and _is_zero(self.arrivals[op]):
            return Fate(FateKind.ZERO, self._zeroed_by(op), FateReason.ZERO_GRADIENT)
        if self._multiplies(call, parameter) and call.reads and self._are_zero(call.reads):
            return Fate(FateKind.ZERO, call.reads[0], FateReason.ZERO_INPUT)
        return None

    def _multiplies(self, call: Call, parameter: Tensor) -> bool:
        """Whether a parameter is a factor of what a call reads; a map's biases are not."""
        if torch_calls.is_map(call.name):
            return parameter.dim() > 1
        return torch_calls.scales(call.name)

    def _are_zero(self, ops: Sequence[int]) -> bool:
        return _is_zero([self.calls[i].activation for i in ops])

    def _zeroed_by(self, op: int) -> int:
        """The operation that hands back exactly 0 although it gets more than that."""
        seen, waiting = {op}, [op]
        for below in waiting:
            for above in self.consumers[below]:
                if self.arrivals.get(above) and not _is_zero(self.arrivals[above]):
                    return above
                if above not in seen and self.arrivals.get(above):
                    seen.add(above)
                    waiting.append(above)
        return waiting[-1]

    def _without(self, name: str, readers: list[int]) -> Fate:
        """Of a parameter that gets no gradient, why: where its values go on, and the gradient does
        not come back."""
        named = (op for op, names in self.read.items() if name in names)
        readers = sorted({*readers, *named}, key=lambda op: (not self.calls[op].slots, op))
        if not readers:
            reason = FateReason.OUTSIDE if name in self.outside else FateReason.UNUSED
            return Fate(FateKind.NONE, None, reason)
        for op in self.cut.intersection(readers):
            inside = next(c.inside for c in self.checkpoints if op in c.inside)
            return Fate(FateKind.NONE, max(inside), FateReason.CHECKPOINT)
        waiting = list(readers)
        for op in waiting:
            if not self.calls[op].slots:
                return Fate(FateKind.NONE, op, FateReason.NO_GRAD)
            above = self.consumers[op]
            if any(node in self.live for i in above for node, _ in self.calls[i].slots):
                return Fate(FateKind.NONE, op, FateReason.DETACH)
            if any(op in c.settings.get("picked_by", ()) for c in self.calls):
                return Fate(FateKind.NONE, op, FateReason.INDEX)
            waiting += [i for i in above if i not in waiting]
        return Fate(FateKind.NONE, readers[0], FateReason.BESIDE)

    def may_hide(self) -> bool:
        """Whether a custom Function, whose backward may run a graph of its own, is on the way."""
        return any(map(_is_custom, self.live))


def fates(
    flow: Flow,
    registered: Sequence[tuple[str, nn.Parameter]],
    hidden: Sequence[tuple[str, nn.Parameter]],
    gradients: Mapping[str, Sketch],
    optimized: set[int] | None,
) -> dict[str, Fate]:
    """What becomes of every parameter, by name, and of those that run but are not registered.

    Args:
        flow: What is known of the run.
        registered: The model's parameters.
        hidden: Of modules in plain lists and the like.
        gradients: Those that were counted, by name.
        optimized: Identities of what the user's optimizer moves, if one was given.
    """
    known: dict[str, Fate] = {}
    for name, p in registered:
        if not p.requires_grad:
            known[name] = Fate(FateKind.FROZEN)
        elif optimized is not None and id(p) not in optimized:
            known[name] = Fate(FateKind.NOT_IN_OPTIMIZER)
        else:
            known[name] = flow.fate(name, p, gradients.get(name))
    known |= {
        name: Fate(FateKind.UNREGISTERED, flow.readers[id(p)][0][1])
        for name, p in hidden
        if id(p) in flow.readers and (optimized is None or id(p) not in optimized)
    }
    may_wait = {
        name: fate.op
        for name, fate in known.items()
        if fate.op is not None and fate.reason in _UNTIL_OTHERS_LEARN
    }
    first = {op for op in set(may_wait.values()) if flow.learns_first(op, known)}
    return known | {
        name: replace(known[name], reason=FateReason.WAITS)
        for name, op in may_wait.items()
        if op in first
    }


_UNTIL_OTHERS_LEARN = (FateReason.ZERO_GRADIENT, FateReason.ZERO_INPUT, FateReason.ZERO_FACTOR)


def _is_custom(node: Node) -> bool:
    """Whether it is a custom Function's."""
    return isinstance(node, torch.autograd.function.BackwardCFunction)


def _is_zero(sketches: Iterable[Sketch | None]) -> bool:
    return all(s is not None and s.zeros == s.count for s in sketches)
