"""explain: the growth argument at every norm of a user's own model, each step argued, predicted,
measured, judged."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from math import isfinite, isnan, nan
from typing import Any

from torch import nn

from depthscale._explain.block_steps import BLOCK_STEPS
from depthscale._explain.blocks import Block, Theory, argued, blocks, is_read, measured
from depthscale._explain.expected import Numbers
from depthscale._explain.steps import Step
from depthscale._explain.verdict import TOLERANCE, Outcome, Row, judge
from depthscale._probe import probe
from depthscale.errors import InvalidProbe
from depthscale.network import NORM_CALLS
from depthscale.run import Run

_SAME = 0.005  # difference between theory and argument that is not worth a word
# values of one sigma, below which their number alone moves a step by more than its tolerance
_FEW = 100


@dataclass(frozen=True)
class NormRows:
    """One norm of a model. / name, op: as the trace has them; title: for people; values: that one
    sigma is over; rows: the steps, in their order.

    rest: largest share of the measured |sigma dE/dy|^2 that the three terms do not account for;
    rounding.
    """

    name: str
    op: str
    values: int
    rest: float
    title: str
    rows: tuple[Row, ...]

    def __getitem__(self, step: str) -> Row:
        return next(row for row in self.rows if row.step == step)

    @property
    def failing(self) -> list[Row]:
        return [row for row in self.rows if row.outcome is Outcome.FAILS]


@dataclass(frozen=True)
class Explanation:
    """The argument at every norm. / model, mode, loss, batch: the trace's; networks: over which
    standard errors are, 1: none.

    without: names of norms that no finite gradient reached. missing: theory's rules that were
    wanted.
    """

    model: str
    mode: str
    loss: str
    batch: int
    networks: int
    norms: tuple[NormRows, ...]
    without: tuple[str, ...]
    missing: tuple[str, ...]

    def __getitem__(self, name: str) -> NormRows:
        """The norm of a name. / raises: InvalidProbe with the names there are."""
        found = next((norm for norm in self.norms if norm.name == name), None)
        if found is None:
            raise InvalidProbe(
                f"no norm {name!r} was explained; there is "
                f"{', '.join(norm.name for norm in self.norms)}"
            )
        return found

    def record(self) -> dict[str, Any]:
        """Plain values: a row for each step at each norm, and what breaks where in sentences."""
        norms = [
            asdict(norm) | {"rows": [row.record() for row in norm.rows]} for norm in self.norms
        ]
        return asdict(self) | {"norms": norms, "reading": read_explanation(self)}

    def __str__(self) -> str:
        first, *failing = read_explanation(self)
        return f"{first} {'; '.join(failing)}".strip()


def explain(
    found: Run | nn.Module | Callable[[], Any], inputs: Any = None, **asked: Any
) -> Explanation:
    """Which approximation of the growth argument breaks at which norm.

    found: a Run of a probe with norms=True; or what `probe` takes, with its inputs and keywords,
    and is probed so.
    argued: what the step says, given the norm's own sigma, gamma, slopes and weights; predicted:
    theory for such a random network, nan where it has no rule; measured: of one network, or the
    mean over those that a function makes with repeats=n, and then with a standard error. A step
    holds within 2 % (|r| within .05) and 3 standard errors; of one network the tolerance decides.
    raises: InvalidProbe for a trace without those numbers, and for a model without a norm.
    """
    if not isinstance(found, Run):
        return explain(probe(found, inputs, norms=True, **asked))
    if inputs is not None or asked:
        raise InvalidProbe("a Run is explained as it is; give inputs and settings to probe")
    if not found.has_terms:
        raise InvalidProbe("the trace does not hold what its norms did: probe with norms=True")
    at_norms = blocks(found)
    without = tuple(op.name for op in found.ops if op.norm is not None and not is_read(op))
    if not at_norms:
        there = (
            f"no finite gradient reached {', '.join(without)}"
            if without
            else f"none of its operations is one of {', '.join(NORM_CALLS)}"
        )
        raise InvalidProbe(f"{found.model} has no norm to explain: {there}")
    theory, networks = Theory(found), found.networks
    return Explanation(
        found.model,
        found.mode,
        found.loss,
        int(found.batch),
        networks,
        tuple(_explained(block, theory, networks) for block in at_norms),
        without,
        theory.missing,
    )


def read_explanation(explanation: Explanation) -> list[str]:
    """What breaks where: at how many norms every step holds, then a clause for each step that
    fails."""
    norms = explanation.norms
    whole = sum(not norm.failing for norm in norms)
    if whole == len(norms):
        return [f"Every step of the argument holds at {_all(whole)}{_worst(norms)}."]
    some = f"Every step of the argument holds at {whole} of {len(norms)} norms; elsewhere fails:"
    said = [some if whole else f"Some step of the argument fails at {_all(len(norms))}:"]
    for step in BLOCK_STEPS:
        rows = [(norm.name, row) for norm in norms for row in norm.failing if row.step == step.name]
        if rows:
            said.append(_broken(step, [name for name, _ in rows], [row for _, row in rows]))
    return said


def _broken(step: Step, names: list[str], rows: list[Row]) -> str:
    values, ideals = _range([row.measured for row in rows]), _range([row.argued for row in rows])
    places = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"{step.broken}: {values}, not {ideals}, at {places}"


def _worst(norms: Sequence[NormRows]) -> str:
    """Of the steps that hold only up to some percent, the one that misses most."""
    held = ((norm[step.name].miss, step.label, norm) for step in BLOCK_STEPS for norm in norms)
    miss, label, norm = max(held, key=lambda each: each[0])
    return f"; at worst up to {100 * miss:.1f} %: {label}, at {norm.name}" if miss else ""


def _range(values: list[float]) -> str:
    low, high = (
        f"{each:.3g}" if abs(each) < 1000 else f"{each:.0f}" for each in (min(values), max(values))
    )
    return low if low == high else f"{low} to {high}"


def _all(norms: int) -> str:
    return {1: "the one norm", 2: "both norms"}.get(norms, f"all {norms} norms")


def _explained(block: Block, theory: Theory, networks: int) -> NormRows:
    predicted, samples = theory.numbers(block), measured(block)
    ideal = argued(block, theory.shape, predicted)
    rows = tuple(_row(step, block, ideal, predicted, samples, networks) for step in BLOCK_STEPS)
    rest = max(each.rest for each in block.norm.terms)
    return NormRows(block.norm.name, block.norm.op, block.values, rest, block.what.row.name, rows)


def _row(
    step: Step,
    block: Block,
    ideal: Numbers,
    theory: Numbers,
    samples: list[Numbers],
    networks: int,
) -> Row:
    values = [each.get(step.name, nan) for each in samples]
    row = step.row(block, None, ideal.get(step.name, nan), theory.get(step.name, nan), values)
    row = row if networks > 1 else replace(row, stderr=nan)
    row = judge(row, networks, partial(_cause, block, row))
    return step.blank(block, step.lacks(block)) if row.outcome is Outcome.NO_STEP else row


def _cause(block: Block, row: Row) -> str:
    """What theory makes of a miss, and whether one sigma is over few values."""
    said = []
    moves = ("norm", "through_mean", "through_sigma", "spread", "inverse", "flatness", "layer")
    if row.step in moves and block.values < _FEW and not block.constant:
        said.append(f"one σ is over {block.values} values")
    whole = row.whole(row.predicted)
    if isfinite(row.predicted) and abs(row.predicted - row.argued) > _SAME * whole:
        allowed = TOLERANCE[row.unit] * whole + 3 * (0.0 if isnan(row.stderr) else row.stderr)
        near = abs(row.measured - row.predicted) <= allowed
        said.append(f"theory gives {row.predicted:.3g}" + (" too" if near else ""))
    return "; ".join(said)
