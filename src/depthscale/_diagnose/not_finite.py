"""The operation that makes the first value that is not finite, forward or backward, and why."""

from collections.abc import Iterator
from math import inf, isfinite

from depthscale._diagnose.advice import advice_on
from depthscale._diagnose.finding import Finding
from depthscale._diagnose.trouble import Trouble
from depthscale.measure import Analysis, Severity
from depthscale.network import Hazard
from depthscale.run import Reading
from depthscale.sketch import FORMATS, Sketch

_OVERFLOWING = (Hazard.MAP, Hazard.PRODUCT, Hazard.SUM, Hazard.POWER)
LARGEST = {"float16": 65504.0, "bfloat16": 3.3895e38, "float32": 3.4028e38}


def not_finite(case: Analysis) -> Iterator[Finding]:
    """The operation that makes the first value that is not finite, forward, else backward."""
    ops = case.trace.ops
    first = _origin_of_values(case)
    if first is not None:
        yield _not_finite_value(case, first)
        return
    hidden = next((op for op in ops if _hides_infinity(case, op)), None)
    gradient = _origin_of_gradient(case)
    if gradient is not None:
        yield _not_finite_gradient(gradient[0], gradient[1], _is_infinite(gradient[0]))
    elif hidden is not None:
        yield _not_finite_value(case, hidden)


def is_spoilt(case: Analysis) -> bool:
    """Whether any value is infinite that no mask made so, or is no number."""
    return _origin_of_values(case) is not None or any(
        _hides_infinity(case, op) for op in case.trace.ops
    )


def _origin_of_values(case: Analysis) -> Reading | None:
    """Of NaN, or of infinities that reach the output: others are masks that a softmax makes 0."""
    ops = case.trace.ops
    spoilt = next((op for op in ops if _has_nans(op)), None)
    if spoilt is None and ops and _is_infinite(ops[-1]):
        spoilt = ops[-1]
    while spoilt is not None:
        before = next(
            (ops[i] for i in spoilt.reads if i < spoilt.id and _is_infinite(ops[i])), None
        )
        if before is None:
            return spoilt
        spoilt = before
    return None


def _hides_infinity(case: Analysis, op: Reading) -> bool:
    """Whether an operation makes infinities of finite values, which a later one takes away; those
    of a mask are meant."""
    if (
        not _is_infinite(op)
        or op.is_input
        or any(_is_infinite(case.trace.ops[i]) for i in op.reads)
    ):
        return False
    assert op.activation is not None
    below, above = op.activation.tally.infinities
    computes = op.hazard in (Hazard.MAP, Hazard.PRODUCT, Hazard.POWER, Hazard.DIVISION)
    return bool(above or (below and computes))


def _is_infinite(op: Reading) -> bool:
    """Whether it has values that are not finite; memory that is not written yet has any."""
    values = op.activation
    if values is None or values.count == values.finite:
        return False
    return op.hazard is not Hazard.RANDOM


def _has_nans(op: Reading) -> bool:
    return _is_infinite(op) and op.activation is not None and bool(op.activation.nans)


def _not_finite_value(case: Analysis, op: Reading) -> Finding:
    sketch, ops = op.activation, case.trace.ops
    assert sketch is not None
    wrong = next((name for name, _, ms in op.weights if not isfinite(ms)), None)
    overflows = not sketch.nans and not op.is_input and not wrong and op.hazard in _OVERFLOWING
    trouble = Trouble.OVERFLOW if overflows else Trouble.NOT_FINITE
    if overflows and op.hazard is Hazard.SUM and not sketch.tally.infinities[1]:
        trouble = Trouble.MASK
    if op.is_input:
        why = "the input holds them"
    elif wrong:
        why = f"its parameter {wrong} holds them"
    elif overflows:
        sign = "-" if not sketch.tally.infinities[1] else ""
        why = (
            f"they passed {sign}{LARGEST.get(op.dtype, inf):,.5g}, the largest number of {op.dtype}"
        )
        reach = [each for i in op.reads if (each := ops[i].activation) is not None]
        if reach:
            why += f"; its inputs reach {max(each.max_magnitude() for each in reach):,.4g}"
    else:
        why = _why(case, op)
    silent = ops[-1].log2_activation_ms == -inf
    gone = "" if _is_infinite(ops[-1]) else "; a later operation takes them away"
    gone += ", and the output is exactly 0" if silent else ""
    counted = _counted(sketch)
    return Finding(
        "activation-not-finite",
        _severity(case, op, bool(gone), silent or overflows),
        op.name,
        f"{counted} among {sketch.count:,} values of the activation first appear here; {why}{gone}",
        {"nans": sketch.nans, "infinities": sketch.infs, "count": sketch.count},
        "IEEE 754" if overflows else "",
        advice_on(trouble, op.hazard),
        f"{op.name}: {counted}; {why}",
    )


def _why(case: Analysis, op: Reading) -> str:
    """Why finite inputs make what is not, by what the operation does with them."""
    reads = [each for i in op.reads if (each := case.trace.ops[i].activation) is not None]
    given = [each for each in reads if each.finite]
    if op.settings.get("labels") == 0:
        return "every label is ignored, so that it averages over nothing"
    if not given:
        return "its inputs are finite"
    least, zeros = given[0].quantile(0.0), any(each.zeros for each in given[-1:])
    if op.hazard in (Hazard.ROOT, Hazard.LOGARITHM) and least < 0:
        does = "root" if op.hazard is Hazard.ROOT else "logarithm"
        return f"it takes the {does} of negative numbers, down to {least:.3g}"
    if op.hazard is Hazard.LOGARITHM and zeros:
        return "it takes the logarithm of 0"
    if op.hazard is Hazard.DIVISION and zeros:
        tiny = FORMATS[op.dtype].largest_lost if op.dtype in FORMATS else 0.0
        lost = f", where an eps of {tiny:.2g} or less is lost in {op.dtype}" if tiny else ""
        return f"it divides by 0{lost}"
    if op.hazard is Hazard.EXPONENTIAL:
        return f"it takes the exponential of {given[0].quantile(1.0):.4g}"
    return "its inputs are finite"


def _severity(case: Analysis, op: Reading, gone: bool, harms: bool) -> Severity:
    """What a later operation takes away, forward and backward, of a softmax whose row is masked is
    a remark."""
    if op.is_input or not gone or harms:
        return "error"
    shares = op.hazard in (Hazard.SHARES, Hazard.LOG_SHARES)
    return "info" if shares and _origin_of_gradient(case) is None else "warn"


def _origin_of_gradient(case: Analysis) -> tuple[Reading, Reading] | None:
    """The operation that makes the first gradient that is not finite, and the one that gets it."""
    for op in reversed(case.trace.ops):
        if op.gradient is not None and (op.gradient.nans or op.gradient.infs):
            above = [
                reader
                for reader in case.trace.ops
                if any(edge.source == op.id for edge in reader.edges)
            ]
            return (above[0] if above else op), op
    return None


def _not_finite_gradient(maker: Reading, below: Reading, infinite: bool) -> Finding:
    sketch = below.gradient
    assert sketch is not None
    forward = f". {maker.op} also makes infinities, where a later operation leaves its values out"
    return Finding(
        "gradient-not-finite",
        "error",
        maker.name,
        f"{_counted(sketch)} among {sketch.count:,} values of the gradient first appear here; what "
        f"arrived at {maker.op} was finite, what it hands to {below.name} is not"
        f"{forward if infinite else ''}",
        {"nans": sketch.nans, "infinities": sketch.infs, "count": sketch.count},
        "",
        advice_on(Trouble.SLOPE_NOT_FINITE, maker.hazard),
    )


def _counted(sketch: Sketch) -> str:
    counted = [
        f"{n:,} {one if n == 1 else more}"
        for n, one, more in ((sketch.nans, "NaN", "NaNs"), (sketch.infs, "infinity", "infinities"))
        if n
    ]
    return " and ".join(counted)
