"""Which kind of operation makes a step of depth amplify: by what it does to the gradient beyond
what it does to the signal."""

from collections import defaultdict
from dataclasses import dataclass

from depthscale.measure import Analysis, Ledger
from depthscale.run import Reading


@dataclass(frozen=True)
class Attribution:
    """A kind of operation and its part in a step of depth.

    A matrix product and its activation change the gradient and the signal alike, so their excess is
    about 0.

    Attributes:
        kind: of operation.
        op: the operation of that kind with the most of it.
        backward: log2 of what it makes of the gradient's mean square, towards the input.
        forward: log2 of what it makes of the signal's, towards the output.
    """

    kind: str
    op: Reading
    backward: float
    forward: float

    @property
    def where(self) -> str:
        return self.op.name

    @property
    def excess(self) -> float:
        return self.backward - self.forward


def attributions(analysis: Analysis) -> tuple[Attribution, ...]:
    """Every kind of operation in the bulk, the one that amplifies most first."""
    account, depth = analysis.ledger, analysis.depth
    if not isinstance(account, Ledger) or depth is None:
        return ()
    inside = {op.id for op in analysis.bulk}
    backward: dict[str, float] = defaultdict(float)
    forward: dict[str, float] = defaultdict(float)
    most: dict[str, tuple[float, Reading]] = {}
    for entry in account.entries:
        if entry.id not in inside:
            continue
        op = analysis.trace.ops[entry.id]
        backward[op.op] += entry.backward / len(depth.pairs)
        forward[op.op] += entry.forward / len(depth.pairs)
        excess = abs(entry.backward - entry.forward)
        if op.op not in most or excess > most[op.op][0]:
            most[op.op] = excess, op
    kinds = [Attribution(kind, most[kind][1], backward[kind], forward[kind]) for kind in backward]
    return tuple(sorted(kinds, key=lambda kind: -kind.excess))
