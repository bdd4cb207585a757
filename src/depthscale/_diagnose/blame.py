"""Which operation makes a step of depth amplify: by what it does to the gradient beyond what it
does to the signal."""

from collections import defaultdict
from dataclasses import dataclass

from depthscale.measure import Ledger
from depthscale.measure.analysis import Analysis
from depthscale.run import TracedOp


@dataclass(frozen=True)
class Blame:
    """A kind of operation and its part. / backward, forward: log2 of mean squares per step of
    depth, towards the input and towards the output; a matrix product and its activation change both
    alike, so their excess is about 0.
    where: the operation of that kind with the most of it."""

    kind: str
    where: str
    backward: float
    forward: float

    @property
    def excess(self) -> float:
        return self.backward - self.forward


def blamed(case: Analysis) -> tuple[Blame, ...]:
    """Every kind of operation in the bulk, the one that amplifies most first."""
    account, found = case.ledger, case.depth
    if not isinstance(account, Ledger) or found is None:
        return ()
    inside = {op.id for op in case.bulk}
    backward: dict[str, float] = defaultdict(float)
    forward: dict[str, float] = defaultdict(float)
    most: dict[str, tuple[float, TracedOp]] = {}
    for entry in account.entries:
        if entry.id not in inside:
            continue
        op = case.trace.ops[entry.id]
        backward[op.op] += entry.backward / len(found.pairs)
        forward[op.op] += entry.forward / len(found.pairs)
        excess = abs(entry.backward - entry.forward)
        if op.op not in most or excess > most[op.op][0]:
            most[op.op] = excess, op
    kinds = [Blame(kind, most[kind][1].name, backward[kind], forward[kind]) for kind in backward]
    return tuple(sorted(kinds, key=lambda blame: -blame.excess))
