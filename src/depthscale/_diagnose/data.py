"""Rules on what the network is given: its scale, and samples that are equal."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt

from depthscale._diagnose.advice import advice_on
from depthscale._diagnose.finding import Finding
from depthscale._diagnose.rule import Check, Rule
from depthscale._diagnose.trouble import Trouble
from depthscale._diagnose.words import place
from depthscale.measure import Analysis
from depthscale.run import Reading, Run

_ALONE = 0.999  # of the mean square in one column: the others are 30 times smaller together


@dataclass(frozen=True)
class LargeInput:
    """Values of an unusual scale that a map takes as they are.

    Attributes:
        op: the input.
        rms: of its values.
        reader: the first map that takes them.
        normalized: whether a norm follows before any activation, which takes the scale away.
    """

    op: Reading
    rms: float
    reader: Reading
    normalized: bool

    @property
    def says(self) -> str:
        name = "" if self.op.name == "input" else f" {self.op.name}"
        return f"the input{name} has an RMS of {self.rms:,.4g}"


def large_input(case: Analysis) -> LargeInput | None:
    """What comes in with an unusual scale; None where a function of it comes first, as of times or
    angles, or a division."""
    for op in case.trace.ops:
        limit = case.thresholds.input_rms
        if not op.is_input or op.activation is None or not op.activation.finite:
            continue
        if op.activation.nans or op.activation.infs or op.activation.rms() < limit:
            continue
        reader = next((case.trace.ops[i] for i in case.trace.readers[op.id]), None)
        if reader is not None and reader.map is not None:
            return LargeInput(op, op.activation.rms(), reader, _is_normalized(case.trace, reader))
    return None


def _is_normalized(trace: Run, op: Reading) -> bool:
    """Whether a norm reads a map before anything that is not proportional to it does."""
    while True:
        readers = [trace.ops[i] for i in trace.readers[op.id]]
        if len(readers) != 1:
            return bool(readers) and all(each.norm is not None for each in readers)
        (op,) = readers
        if op.norm is not None:
            return True
        if op.map is None and not (op.phi is not None and op.phi.homogeneous):
            return False


def input_findings(case: Analysis) -> Iterator[Finding]:
    """The scale of what comes in, and whether its samples differ."""
    large = large_input(case)
    if large is not None and not large.op.is_embedding:
        yield _scale(case, large)
    yield from _equal(case)


def _scale(case: Analysis, large: LargeInput) -> Finding:
    sketch = large.op.activation
    assert sketch is not None
    mean, offset = sketch.mean(), ""
    spread = sqrt(max(large.rms**2 - mean**2, 0.0))
    if abs(mean) > spread:
        offset = f", most of it one offset of {mean:,.4g}"
    alike = large.op.likeness
    same = (
        f"; its samples have a correlation of 1 - {max(1 - alike.samples, 0.0):.1g}"
        if alike is not None and 1 - alike.samples < case.thresholds.alike_info
        else ""
    )
    alone = alike is not None and alike.largest_feature > _ALONE
    if alone and alike is not None:
        offset += f", {alike.largest_feature:.4%} of its mean square in one column"
    taken = (
        ", and what a norm behind it takes away is not that one column drowns the others"
        if alone and large.normalized
        else ", which a norm behind it takes away"
        if large.normalized
        else ", so that its outputs and the gradients of its weights are that much larger"
    )
    return Finding(
        "inputs-scale",
        "info" if large.normalized and not (same or alone) else "warn",
        large.op.name,
        f"{large.says}{offset}, where networks are made for about 1{same}. "
        f"{place(large.reader.name)} takes it as it is{taken}",
        {"rms": large.rms, "threshold": case.thresholds.input_rms, "mean": mean},
        "LeCun et al. 1998, Efficient BackProp, section 4.3",
        advice_on(Trouble.LARGE_INPUTS) if not large.normalized or same or alone else "",
        f"{large.says}, where networks are made for about 1",
    )


def _equal(case: Analysis) -> Iterator[Finding]:
    given = [op for op in case.trace.ops if op.is_input]
    if len(given) != 1 or given[0].likeness is None or given[0].shape[0] < 2:
        return
    (op,) = given
    assert op.likeness is not None
    if not op.likeness.are_equal:
        return
    yield Finding(
        "inputs-equal",
        "warn",
        op.name,
        f"all samples of {op.name} are equal: no norm over the batch, no dead unit and no sample "
        "that becomes like another can be told of them",
        {"correlation": op.likeness.samples, "samples": op.shape[0]},
        "",
        advice_on(Trouble.EQUAL_INPUTS),
    )


INPUTS = Check(
    input_findings,
    (
        Rule(
            ("inputs-scale",),
            "an input whose RMS is over 30 goes into a linear map or convolution as it is; a "
            "remark where a norm behind it takes the scale away",
            "LeCun et al. 1998, Efficient BackProp, section 4.3",
        ),
        Rule(("inputs-equal",), "all samples of the batch are equal"),
    ),
)
