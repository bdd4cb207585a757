"""Rules on the batch: nothing in it, or too little for what a norm asks of it."""

from collections.abc import Iterator

from depthscale._diagnose.advice import advice_on
from depthscale._diagnose.finding import Finding
from depthscale._diagnose.rule import Check, Rule
from depthscale._diagnose.trouble import Trouble
from depthscale.measure import (
    FEWEST_VALUES,
    Analysis,
    is_empty,
    norms_over_few,
    values_per_channel,
)


def batch_findings(analysis: Analysis) -> Iterator[Finding]:
    """Of an empty batch nothing else can be said; over 2 or 3 values a Batch Norm's gradient has no
    rate."""
    if is_empty(analysis.trace):
        says = (
            "the batch is empty: 0 samples went in, so no activation and no gradient has a "
            "value and nothing was looked at"
        )
        yield Finding(
            "nothing-measured",
            "error",
            "",
            says,
            {"samples": analysis.trace.batch},
            "",
            advice_on(Trouble.EMPTY_BATCH),
            says,
        )
        return
    yield from _over_one_value(analysis)
    few = list(norms_over_few(analysis.trace))
    if few:
        values, more = (
            values_per_channel(few[0]),
            f" (and {len(few) - 1} more)" if len(few) > 1 else "",
        )
        output = ", and its output 1 or -1 whatever comes in" if values == 2 else ""
        yield Finding(
            "batch-too-small",
            "warn"
            if analysis.depth is None or any(op.id in analysis.depth for op in few)
            else "info",
            few[0].name,
            f"Batch Norm has {values} values a channel to take its mean and variance from{more}: "
            "the mean of 1/sigma^2, by which "
            f"it multiplies the gradient's mean square, is infinite{output}; what was measured is "
            "this draw's alone",
            {"values": values, "threshold": FEWEST_VALUES, "operations": len(few)},
            "arXiv:1902.08129",
            advice_on(Trouble.SMALL_BATCH),
            f"Batch Norm over {values} values a channel has no typical gradient: E 1/sigma^2 is "
            f"infinite below {FEWEST_VALUES}",
        )


def _over_one_value(analysis: Analysis) -> Iterator[Finding]:
    ops = [
        op
        for op in analysis.trace.ops
        if op.norm is not None and op.norm.size == 1 and op.norm.row.centred
        if op.norm.statistics != "running"
    ]
    if not ops:
        return
    more = f" (and {len(ops) - 1} more)" if len(ops) > 1 else ""
    yield Finding(
        "norm-over-one-value",
        "error",
        ops[0].name,
        f"{ops[0].op} takes its mean over 1 value{more}: what is left of it is 0, and the "
        "output is the shift whatever comes in, so that no gradient passes",
        {"operations": len(ops)},
        "",
        advice_on(Trouble.NORM_OF_ONE),
    )


BATCH = Check(
    batch_findings,
    (
        Rule(
            ("norm-over-one-value",),
            "a norm that takes a mean away is over one value, as a Group Norm with as many groups "
            "as channels and no positions",
        ),
        Rule(
            (
                "nothing-measured",
                "batch-too-small",
            ),
            "an empty batch; a Batch Norm over 2 or 3 values a channel, where E 1/sigma² is "
            "infinite and no rate exists",
            "arXiv:1902.08129",
        ),
    ),
)
