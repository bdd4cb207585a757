"""Rules on growth with depth: exploding and vanishing gradients and activations."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import log2

from depthscale.activations import activation
from depthscale.diagnose.blame import Blame, blamed
from depthscale.diagnose.case import Case
from depthscale.diagnose.finding import Finding, Severity
from depthscale.diagnose.words import fold
from depthscale.errors import DepthscaleError
from depthscale.measure.growth import Growth
from depthscale.numerics import gaussian
from depthscale.trace import TracedOp

_SOURCES = {"batch_norm": "arXiv:1902.08129", "layer_norm": "arXiv:1902.08129", "linear": "arXiv:1502.01852"}


@dataclass(frozen=True)
class Cause:
    """What makes a rate. / says: a sentence that begins with ". "; where: an operation's name; who: half a sentence."""

    says: str
    where: str
    who: str
    source: str


_SAME = 0.5  # of the gradient's rate that the signal's must reach for the weights' size to be the cause of both


def growth_findings(case: Case) -> Iterator[Finding]:
    """Exploding or vanishing gradients, then activations that do so by themselves."""
    gradient, signal = case.gradient, case.activation
    if gradient is not None and abs(gradient.deviates) > case.limits.deviates:
        yield _finding(case, "gradient", gradient)
    explained = gradient is not None and signal is not None and _together(gradient, signal)
    if signal is not None and abs(signal.deviates) > case.limits.deviates and not explained:
        yield _finding(case, "activation", signal)


def _finding(case: Case, what: str, growth: Growth) -> Finding:
    power = growth.power is not None and growth.power.better
    factor = 2.0 ** abs(growth.change) if abs(growth.change) < 1000 else float("inf")
    severity = _severity(case, factor) if not power else "info"
    grows = growth.rate > 1
    rule = f"{what}-" + {True: ("grows", "explodes"), False: ("shrinks", "vanishes")}[grows][severity != "info"]
    cause = _cause(case, growth) if what == "gradient" else Cause("", _last(case), "", "arXiv:1502.01852")
    return Finding(
        rule=rule,
        severity=severity,
        where=cause.where,
        says=f"{_says(what, growth, factor)}{cause.says}",
        evidence={
            "rate": growth.rate,
            "stderr": growth.stderr,
            "rms_rate": growth.rms_rate,
            "step": growth.step,
            "steps": growth.steps,
            "deviates": growth.deviates,
            "threshold_deviates": case.limits.deviates,
            "change": factor,
            "threshold_change": case.limits.error_change if severity == "error" else case.limits.warn_change,
            "predicted_rate": case.predicted_rate if what == "gradient" else None,
            "power_law_exponent": growth.power.exponent if growth.power is not None and power else None,
        },
        source=cause.source,
        advice=_advice(case, growth) if severity != "info" else "",
        headline=f"{what}s {rule.removeprefix(what + '-').removesuffix('s')} towards the {_end(what)}: {_rate(growth)} per "
        f"{growth.step} in RMS, {fold(growth)} over {growth.steps} of them{cause.who}",
    )


def _end(what: str) -> str:
    return "input" if what == "gradient" else "output"


def _rate(growth: Growth) -> str:
    return f"x{growth.rms_rate:.3g}" if growth.rate > 1 else f"1/{1 / growth.rms_rate:.3g}"


def _severity(case: Case, factor: float) -> Severity:
    if factor >= case.limits.error_change:
        return "error"
    return "warn" if factor >= case.limits.warn_change else "info"


def _says(what: str, growth: Growth, factor: float) -> str:
    way = f"towards the {_end(what)}"
    if growth.power is not None and growth.power.better:
        verb = "grows" if growth.power.exponent > 0 else "shrinks"
        return f"the {what}'s mean square {verb} {way} as depth^{abs(growth.power.exponent):.2g}, not exponentially"
    verb = "grow" if growth.rate > 1 else "shrink"
    rate = growth.rms_rate if growth.rate > 1 else 1 / growth.rms_rate
    return (
        f"{what}s {verb} {way} by a factor of {rate:.3g} in RMS per {growth.step} (mean square x{growth.rate:.4g} ± "
        f"{growth.stderr:.2g}), {fold(growth)} in RMS over {growth.steps} of them"
    )


def _together(gradient: Growth, signal: Growth) -> bool:
    """Whether signal and gradient change alike, as where the weights are too large or too small."""
    a, b = log2(gradient.rate), log2(signal.rate)
    return a * b > 0 and abs(b) > _SAME * abs(a)


def _cause(case: Case, growth: Growth) -> Cause:
    """What makes it: the weights' size, or the operation that amplifies most."""
    if case.activation is not None and _together(growth, case.activation) and abs(case.activation.deviates) > 3:
        return _weights(case)
    order = blamed(case) if growth.rate > 1 else blamed(case)[::-1]
    if not order or abs(order[0].excess) < case.limits.imbalance:
        return Cause("", order[0].where if order else "", "", "")
    first = order[0]
    return Cause(f". {_part(case, first)}", first.where, f", by {first.kind} (as {first.where})", _SOURCES.get(first.kind, ""))


def _part(case: Case, blame: Blame) -> str:
    back, ahead = 2**blame.backward, 2**blame.forward
    said = (
        f"{blame.kind} does it: per step it multiplies the gradient's mean square by {back:.3g} and the signal's by {ahead:.3g}"
    )
    splits = [op.split for op in case.bulk if op.op == blame.kind and op.split is not None]
    if not splits:
        return said
    inverse = sum(s.inverse_sigma2 for s in splits) / len(splits)
    removed = sum(s.mean_term + s.variance_term for s in splits) / sum(s.direct for s in splits)
    return f"{said} (1/sigma^2 = {inverse:.3g}, of which the paths through mean and variance take back {removed:.1%})"


def _weights(case: Case) -> Cause:
    """Weights whose size does not suit the activation: signal and gradient change by the same factor."""
    source = "arXiv:1502.01852, section 2.2"
    for op in case.bulk[len(case.bulk) // 2 :]:
        size, phi = _sigma_w2(op), _activation_after(case, op)
        if size is None:
            continue
        said = f". The signal does the same: the weights of {op.name} have fan_in x variance {size:.3g}"
        who = f", by the size of the weights (as {op.name})"
        slope2 = _slope2(phi, op) if phi else None
        if phi is None or slope2 is None:
            return Cause(said, op.name, who, source)
        fits = f", and a mean squared slope of {slope2:.3g} makes that x{size * slope2:.3g}"
        wanted = f"; {phi} asks for {1 / slope2:.3g}" if activation(phi).homogeneous else ""
        return Cause(f"{said} before {phi}{fits}{wanted}", op.name, who, source)
    return Cause(
        ". The signal does the same, so the weights' size is the cause", _last(case), ", by the size of the weights", source
    )


def _sigma_w2(op: TracedOp) -> float | None:
    """fan_in times the mean square of a linear map's weights."""
    for _, shape, mean_square in op.weights:
        if op.op == "linear" and len(shape) == 2:
            return shape[1] * mean_square
        if op.op.startswith("conv") and len(shape) > 2:
            inside = 1
            for n in shape[1:]:
                inside *= n
            return inside * mean_square
    return None


def _slope2(phi: str, op: TracedOp) -> float | None:
    """E phi'^2 for a Gaussian of the mean square that was measured."""
    a = activation(phi)
    try:
        return gaussian.expect(lambda z: a.derivative(z) ** 2, 2.0**op.log2_activation_ms, a.breaks).value
    except (DepthscaleError, OverflowError):
        return None


def _activation_after(case: Case, op: TracedOp) -> str | None:
    for reader in case.trace.ops[op.id + 1 :]:
        if op.id in reader.reads:
            try:
                activation(reader.op)
            except DepthscaleError:
                return None
            return reader.op
    return None


def _last(case: Case) -> str:
    return case.bulk[-1].name if case.bulk else ""


def _advice(case: Case, growth: Growth) -> str:
    kinds = {op.op for op in case.bulk}
    if case.activation is not None and _together(growth, case.activation):
        return "give the weights the variance that the activation asks for (torch.nn.init.kaiming_normal_ for ReLU)"
    if growth.rate > 1 and "batch_norm" in kinds and "add" not in kinds:
        return "add skip connections, use a larger batch, or normalize by LayerNorm before the activation"
    return "add skip connections, or change the normalization; `simulate` and `predict` compare them before training"
