"""Rules on softmaxes: rows in which one value has all, or none is told from another."""

from collections.abc import Iterator
from statistics import median

from depthscale._diagnose.advice import advice_on
from depthscale._diagnose.finding import Finding
from depthscale._diagnose.messages import passes_messages
from depthscale._diagnose.rule import Check, Rule
from depthscale._diagnose.trouble import Trouble
from depthscale._diagnose.words import span
from depthscale.measure import Analysis
from depthscale.run import Reading, Shares

_NO_SCORES = 1e-3  # standard deviation of scores that tell nothing apart


def softmax_findings(case: Analysis) -> Iterator[Finding]:
    """Where at least half of all softmaxes are so: a trained network has heads that look at one
    place."""
    yield from _across_samples(case)
    seen = [
        (op, op.shares)
        for op in case.trace.ops
        if op.shares is not None and not _is_judged(case, op)  # else told of the loss
    ]
    ops = [op for op, _ in seen]
    if not seen:
        return
    if median(shares.entropy for _, shares in seen) < case.thresholds.one_hot_entropy:
        yield _one_hot(case, seen)
        return
    seen = [(op, shares) for op, shares in seen if not op.is_half]  # which rounds by as much
    spread = median([shares.spread for _, shares in seen] or [1.0])
    if spread < _NO_SCORES:
        yield Finding(
            "softmax-flat",
            "warn" if any(_is_learned(case, op) for op in ops) else "info",
            ops[0].name,
            f"the softmax of {span(ops)} ({len(ops)} in all) shares out evenly: its scores "
            f"differ by {spread:.1g}, so that queries and keys say nothing and get a gradient as "
            "small",
            {"spread": spread, "threshold": _NO_SCORES},
            "",
            advice_on(Trouble.FLAT),
        )


def _is_judged(case: Analysis, op: Reading) -> bool:
    return any(case.trace.ops[i].judges is not None for i in case.trace.readers[op.id])


def _across_samples(case: Analysis) -> Iterator[Finding]:
    """A softmax over the first axis, where that is the batch's; of nodes of a graph, and of samples
    against each other, it is meant."""
    batches = {op.shape[0] for op in case.trace.ops if op.is_input and op.shape}
    for op in case.trace.ops:
        shape, axis = op.shape, op.settings.get("dim")
        if op.shares is None or not isinstance(axis, int) or len(shape) < 2:
            continue
        square = shape[0] == shape[1]
        if axis % len(shape) or square or batches != {shape[0]} or case.trace.batch != shape[0]:
            continue
        if passes_messages(case):
            continue
        yield Finding(
            "softmax-over-samples",
            "warn",
            op.name,
            f"{op.op} goes over axis 0, which holds the {shape[0]} samples of the batch: what one "
            f"sample gets depends on all others, and a sample's {shape[-1]} values do not add up "
            "to 1",
            {"axis": axis, "samples": shape[0]},
            "",
            advice_on(Trouble.ACROSS_SAMPLES),
        )
        return


def _one_hot(case: Analysis, seen: list[tuple[Reading, Shares]]) -> Finding:
    op, shares = min(seen, key=lambda each: each[1].entropy)
    ops = [op for op, _ in seen]
    scores = case.trace.ops[op.reads[0]]
    size = 0.0 if scores.activation is None else scores.activation.magnitude_quantile(0.5)
    spread = "" if op.reads[1:] else f"; half of its scores are larger than {size:.3g}"
    return Finding(
        "softmax-one-hot",
        "warn",
        op.name,
        "rows of the softmax look at one value alone: "
        f"{shares.one_hot:.0%} of them give one of {shares.values} values 0.99 or "
        f"more{spread}. The entropy of a row is "
        f"{median(each.entropy for _, each in seen):.2g} of its maximum (median over {span(ops)}), "
        "and nearly no gradient passes to what is not looked at",
        {
            "entropy": shares.entropy,
            "threshold": case.thresholds.one_hot_entropy,
            "one_hot": shares.one_hot,
            "operations": len(ops),
        },
        "Vaswani et al. 2017, section 3.2.1; arXiv:2303.06296",
        advice_on(Trouble.ONE_HOT),
    )


def _is_learned(case: Analysis, op: Reading) -> bool:
    """Whether the scores come from weights that are not 0, which learn first."""
    seen, waiting = set[int](), list(op.reads)
    while waiting:
        i = waiting.pop()
        below = case.trace.ops[i]
        if i in seen or below.is_input:
            continue
        seen.add(i)
        if below.map is not None and below.weights:
            if below.map.sigma_w2 == 0:
                return False
            continue
        waiting += [j for j in below.reads if j < i]
    return True


SOFTMAXES = Check(
    softmax_findings,
    (
        Rule(
            ("softmax-one-hot",),
            "in half of all softmaxes, those inside fused attention with them, a row's entropy is "
            "under a fifth of its maximum",
            "Vaswani et al. 2017, section 3.2.1; arXiv:2303.06296",
        ),
        Rule(
            ("softmax-over-samples",),
            "a softmax goes over the batch's axis, outside of graphs and of samples that are "
            "compared with each other",
        ),
        Rule(
            ("softmax-flat",),
            "half of all softmaxes share out evenly, to a thousandth; a remark where the "
            "weights of their scores are 0, and learn first",
        ),
    ),
)
