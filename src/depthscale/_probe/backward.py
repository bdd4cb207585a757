"""Reading the backward pass: what arrives at every operation, and what leaves it on every edge, at
its own autograd nodes."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.graph import Node

from depthscale._probe import internals
from depthscale._probe.nodes import Exit, Slot, reachable
from depthscale._probe.norm_calls import NormReading, is_whole, slopes_of
from depthscale._probe.reached import reached
from depthscale._probe.resolve import Operations
from depthscale._probe.sketching import sketch_of
from depthscale._probe.split import split_of
from depthscale.errors import UnsupportedTensor
from depthscale.network import is_elementwise
from depthscale.run import NormSplit, NotSeen
from depthscale.sketch import Sketch

_PASSED_ON = 1e-6  # log2 of a mean square: rounding of its sum in another order


class Backward:
    """Gradients of a recorded run, repeat by repeat.

    arrivals[op]: [repeats] Sketch of dE/d(output); departures[op][edge]: [repeats] Sketch of what
    leaves by an exit.
    consumers[op]: autograd edges into its outputs. / A tensor that leaves one node and arrives
    whole at another is counted once.
    """

    guarded = staticmethod(lambda hook: hook)  # a hook as autograd calls it

    def __init__(self, ops: Operations, sinks: list[Slot], log2_scale: int, norms: bool):
        self.reached: dict[int, Tensor] = {}  # shares of positions, of sequences
        self.arrivals: dict[int, list[Sketch]] = defaultdict(list)
        self.departures: dict[int, dict[Exit, list[Sketch]]] = defaultdict(dict)
        self.splits: dict[int, NormSplit] = {}
        self.norms = NormReading(
            {op: call.norm for op, call in enumerate(ops.calls) if call.norm is not None}
        )
        self._with_slopes = norms
        self.not_seen: list[NotSeen] = []
        self.nodes = reachable(node for node, _ in sinks)
        self._owners, self._calls = ops.owners, ops.calls
        self._log2_scale = log2_scale
        self._into = self._edges_into(sinks)
        self._inner = self._inner_edges()
        inner = Counter(slot for ways in self._inner.values() for _, slot in ways)
        self._from_outside = {slot: n - inner[slot] for slot, n in self._into.items()}
        self.consumers: dict[int, int] = defaultdict(int)
        for slot, count in self._from_outside.items():
            if slot in self._owners.outputs:
                self.consumers[self._owners.outputs[slot]] += count
        self._count_leaks()
        self._handed: dict[Slot, _Handed] = {}  # on the way to an output that nothing else reaches
        self._arrived: dict[
            Slot, tuple[Sketch, int]
        ] = {}  # with the count of what was written to it by then
        self._folded: dict[Slot, list[Tensor]] = defaultdict(list)  # what came by inner edges
        self._this_run: dict[int, Sketch] = {}
        self._altering: set[Node] = set()  # nodes taken for reshapes that are none

    def _edges_into(self, sinks: list[Slot]) -> dict[Slot, int]:
        """How many edges bring gradient to every slot, reshapes looked through; a cotangent counts
        as one."""
        into: dict[Slot, int] = defaultdict(int)
        for slot in sinks:
            into[self._owners.resolve(slot)] += 1
        for node in self.nodes:
            if node not in self._owners.passing:
                for below, number in node.next_functions:
                    if below is not None and not internals.is_leaf(below):
                        into[self._owners.resolve((below, number))] += 1
        return into

    def _inner_edges(self) -> dict[Node, list[tuple[int, Slot]]]:
        """Edges from inside an operation into another output of its own, as from an LSTM's state
        into its memory: by node, each edge's position and where it leads."""
        inner: dict[Node, list[tuple[int, Slot]]] = defaultdict(list)
        for node in self.nodes:
            own = self._owners.owner.get(node)
            for position, (below, number) in enumerate(
                node.next_functions if own is not None else ()
            ):
                if below is not None and self._owners.outputs.get((below, number)) == own:
                    inner[node].append((position, (below, number)))
        return inner

    def _count_leaks(self) -> None:
        """Edges into the inside of an operation, past its outputs: what they bring is in nobody's
        account, and it must show."""
        owner = self._owners.owner
        for node in self.nodes:
            for below, number in node.next_functions:
                if below is None or node not in owner:
                    continue
                slot = self._owners.resolve((below, number))
                inside = owner.get(slot[0], owner[node])
                if (
                    inside != owner[node]
                    and slot not in self._owners.outputs
                    and self._carries_signal(slot[0])
                ):
                    self.consumers[inside] += 1
                    why = (
                        f"{self._calls[owner[node]].name} reads what was made inside it, which "
                        "no call returned"
                    )
                    self.not_seen.append(NotSeen(self._calls[inside].name, why))

    def _carries_signal(self, inside: Node) -> bool:
        """Whether another operation's output lies behind a node; behind a weight that was
        transposed, say, none does."""
        behind = (slot for node in reachable([inside]) for slot in node.next_functions)
        return any(
            below is not None and self._owners.producer((below, number)) is not None
            for below, number in behind
        )

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Hooks on the nodes while the context lasts; they change nothing."""
        inside = set(self.nodes)
        self._ways = {
            op: sum(way.node in inside for way in call.exits) for op, call in enumerate(self._calls)
        }
        handles = []
        for node, slots in self._by_node().items():
            if node in inside:
                handles.append(node.register_prehook(self.guarded(self._arrive(node, slots))))
        for op, call in enumerate(self._calls):
            exits: dict[Node, list[Exit]] = defaultdict(list)
            for way in call.exits:
                if way.node in inside:
                    exits[way.node].append(way)
            for node, ways in exits.items():
                handles.append(node.register_hook(self.guarded(self._leave(op, node, ways))))
        for node, ways in self._inner.items():
            handles.append(node.register_hook(self.guarded(self._fold(ways))))
        for node in self._owners.passing & inside:
            handles.append(node.register_hook(self.guarded(self._pass(node))))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            self._end_run()

    def _by_node(self) -> dict[Node, dict[int, int]]:
        by_node: dict[Node, dict[int, int]] = defaultdict(dict)
        for (node, number), op in self._owners.outputs.items():
            by_node[node][number] = op
        return by_node

    def _arrive(
        self, node: Node, slots: dict[int, int]
    ) -> Callable[[tuple[Tensor | None, ...]], None]:
        def hook(grad_outputs: tuple[Tensor | None, ...]) -> None:
            for number, op in slots.items():
                gradient = grad_outputs[number]
                if gradient is None:
                    self._handed.pop((node, number), None)
                    continue
                folded = self._folded.pop((node, number), None)
                if not self._from_outside.get((node, number), 1):
                    continue
                if folded is not None:
                    gradient = gradient - sum(folded)
                known = self.arrived(op, (node, number), gradient)
                if folded is None:
                    self._arrived[node, number] = known, internals.version(gradient)
                self.norms.arrive(op, gradient)
                self._this_run[op] = self._this_run[op] + known if op in self._this_run else known

        return hook

    def _fold(self, ways: list[tuple[int, Slot]]) -> Callable[..., None]:
        """What an operation hands to an output of its own did not come from outside."""

        def hook(grad_inputs: tuple[Tensor | None, ...], grad_outputs: object) -> None:
            for position, slot in ways:
                gradient = grad_inputs[position]
                if gradient is not None:
                    self._folded[slot].append(gradient)

        return hook

    def end_at(self, op: int, sketch: Sketch) -> None:
        """What autograd hands over where the gradient ends; a hook may have seen it, too."""
        self._this_run[op] = sketch

    def hand(self, slot: Slot, gradient: Tensor) -> Sketch:
        """Sketch of what is on its way to a slot, which is counted once if it arrives there as it
        is."""
        slot, sketch = self._owners.resolve(slot), sketch_of(gradient, self._log2_scale)
        if self._into[slot] == 1:
            self._handed[slot] = _Handed(gradient, internals.version(gradient), sketch)
        return sketch

    def arrived(self, op: int, slot: Slot, gradient: Tensor) -> Sketch:
        """Sketch of what arrives at a slot of an operation."""
        handed, call = self._handed.pop(slot, None), self._calls[op]
        if call.has_positions and gradient.shape == call.shape:
            self.reached[op] = reached(gradient)
        known = (
            handed.sketch if handed and handed.arrives_as(gradient) else self.sketch(op, gradient)
        )
        if handed and not _equal(handed.sketch, known):
            why = (
                "its gradient changes between this operation and its only reader: a hook of the "
                "model's own?"
            )
            self.not_seen.append(NotSeen(call.name, why))
        return known

    def _leave(self, op: int, node: Node, ways: list[Exit]) -> Callable[..., None]:
        def hook(
            grad_inputs: tuple[Tensor | None, ...], grad_outputs: tuple[Tensor | None, ...]
        ) -> None:
            for way in ways:
                gradient = grad_inputs[way.position]
                known: Sketch | None = Sketch() if gradient is None else None
                for number, above in enumerate(grad_outputs):
                    if (
                        known is None
                        and gradient is not None
                        and above is not None
                        and _same_memory(gradient, above)
                    ):
                        known, then = self._arrived.get((node, number), (None, 0))
                        # else written to on its way through
                        known = known if internals.version(above) == then else None
                if known is None and gradient is not None:
                    known = self.sketch(op, gradient)
                assert known is not None
                self.departures[op].setdefault(way, []).append(known)
                target = self._owners.resolve(way.target)
                if gradient is not None and self._into[target] == 1:
                    self._handed[target] = _Handed(gradient, internals.version(gradient), known)
                self.norms.leave(op, gradient, self._ways[op])
            if (
                self._with_slopes
                and self._ways[op] == 1
                and is_elementwise(self._calls[op].name, self._calls[op].settings)
                and is_whole(self._calls[op].slots, node)
            ):
                slopes = slopes_of(node, ways[0].position, grad_outputs[0])
                if slopes is not None:
                    self.norms.slopes[op].append(slopes)
            if op not in self.splits:
                found = split_of(node, grad_outputs[0])
                if found is not None:
                    self.splits[op] = found
            for number in range(len(grad_outputs)):
                self._arrived.pop((node, number), None)

        return hook

    def _pass(self, node: Node) -> Callable[..., None]:
        """A reshape hands on what it was given; where one does not, an operation was taken for it,
        and the account must open."""

        def hook(
            grad_inputs: tuple[Tensor | None, ...], grad_outputs: tuple[Tensor | None, ...]
        ) -> None:
            (given, *_), left = grad_outputs, next((g for g in grad_inputs if g is not None), None)
            below = self._owners.producer((node, 0))
            if (
                given is None
                or left is None
                or below is None
                or node in self._altering
                or _one_storage(given, left)
            ):
                return
            if not _equal(sketch_of(given), sketch_of(left)):
                self._altering.add(node)
                self.consumers[below] += 1
                why = "taken for a pure reshape, but it changes the gradient that goes through it"
                self.not_seen.append(NotSeen(type(node).__name__, why, 1))

        return hook

    def _end_run(self) -> None:
        for op, sketch in self._this_run.items():
            self.arrivals[op].append(sketch)
        self._this_run, self._arrived, self._handed = {}, {}, {}
        self.norms.end_run()

    def sketch(self, op: int, gradient: Tensor) -> Sketch:
        """Sketch of a gradient; an empty one, and a word about it, where it cannot be counted."""
        try:
            return sketch_of(gradient, self._log2_scale)
        except UnsupportedTensor as refused:
            self.not_seen.append(NotSeen(self._calls[op].name, f"its gradient: {refused}"))
            return Sketch()


@dataclass(frozen=True, eq=False)
class _Handed:
    """A gradient that left an operation, the count of what was written to it by then, and its
    sketch."""

    gradient: Tensor
    version: int
    sketch: Sketch

    def arrives_as(self, gradient: Tensor) -> bool:
        return _same_memory(self.gradient, gradient) and internals.version(gradient) == self.version


def _equal(a: Sketch, b: Sketch) -> bool:
    """Whether two gradients have one norm, but for rounding; what is not finite has none."""
    return a is b or (
        a.count == b.count and not abs(a.log2_mean_square() - b.log2_mean_square()) > _PASSED_ON
    )


def _one_storage(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors that are alive look at the same memory, as many values of it."""
    return a.numel() == b.numel() and a.dtype == b.dtype and a.data_ptr() == b.data_ptr()


def _same_memory(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors that are alive hold the same values, possibly in another shape or
    order."""
    return a is b or (
        a.layout is b.layout is torch.strided
        and a.numel() == b.numel()
        and a.dtype == b.dtype
        and a.data_ptr() == b.data_ptr()
        and internals.version(a) == internals.version(b)
        and (a.is_conj(), a.is_neg()) == (b.is_conj(), b.is_neg())
        and (a.is_contiguous() or _fills_storage(a))
        and (b.is_contiguous() or _fills_storage(b))
    )


def _fills_storage(tensor: Tensor) -> bool:
    return (
        tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
        and 0 not in tensor.stride()
    )
