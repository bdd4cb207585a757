"""The autograd graph, shared out: which node belongs to which operation, and where operations
meet."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from torch.autograd.graph import Node

from depthscale._probe.internals import is_leaf

Slot = tuple[Node, int]  # a node and which of its outputs


@dataclass(frozen=True, eq=False)
class Exit:
    """A way out of an operation, towards the input: edge number `position` of a node of its own,
    into another's slot."""

    node: Node
    position: int
    target: Slot


@dataclass
class NodeOwners:
    """Who owns which node. / owner: node -> operation; passing: nodes of pure reshapes; outputs:
    slot -> operation.

    sizes: how many nodes each operation owns.
    """

    owner: dict[Node, int] = field(default_factory=dict)
    passing: set[Node] = field(default_factory=set)
    outputs: dict[Slot, int] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)

    def known(self, node: Node) -> bool:
        return node in self.owner or node in self.passing

    def resolve(self, slot: Slot) -> Slot:
        """The slot that a reshape, or a row of them, looks at; a slot of anything else is its
        own."""
        node, number = slot
        while node in self.passing:
            below, position = _below(node)
            if below is None:
                break
            node, number = below, position
        return node, number

    def producer(self, slot: Slot) -> int | None:
        """The operation whose output a slot is, looking through reshapes; None for parameters and
        insides."""
        return self.outputs.get(self.resolve(slot))

    def claim(self, op: int, outputs: Iterable[Slot]) -> list[Exit]:
        """Give an operation its output slots and every node behind them that nobody owns. /
        returns: its ways out."""
        outputs = list(outputs)
        for slot in outputs:
            self.outputs[slot] = op
        self.sizes[op] = 0
        exits = []
        waiting = [node for node, _ in outputs if not self.known(node)]
        while waiting:
            node = waiting.pop()
            if node in self.owner:
                continue
            self.owner[node] = op
            self.sizes[op] += 1
            for position, (below, number) in enumerate(node.next_functions):
                if below is None or is_leaf(below):
                    continue
                if self.known(below):
                    if self.producer((below, number)) is not None:
                        exits.append(Exit(node, position, (below, number)))
                else:
                    waiting.append(below)
        return exits

    def pass_through(self, output: Node) -> None:
        """Mark the nodes behind a reshape's output, down to the first that somebody owns."""
        node: Node | None = output
        while node is not None and not self.known(node) and not is_leaf(node):
            self.passing.add(node)
            node = _below(node)[0]


def _below(node: Node) -> tuple[Node | None, int]:
    """What a reshape reads: its only edge that leads anywhere."""
    return next(
        ((below, number) for below, number in node.next_functions if below is not None), (None, 0)
    )


def reachable(roots: Iterable[Node]) -> list[Node]:
    """Every node behind some others, leaves left out."""
    seen: dict[Node, None] = {}
    waiting = list(roots)
    while waiting:
        node = waiting.pop()
        if node in seen or is_leaf(node):
            continue
        seen[node] = None
        waiting += [below for below, _ in node.next_functions if below is not None]
    return list(seen)
