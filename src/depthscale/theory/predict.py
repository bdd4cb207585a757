"""predict: what theory says of a described network, layer by layer."""

from collections.abc import Sequence
from dataclasses import replace
from math import inf, log2, nan, sqrt
from typing import Any

import numpy as np

from depthscale.errors import InvalidSpec, NoTheory
from depthscale.network import Graph, Linear, NetSpec, activation
from depthscale.run import STOPS, Profile, Quantity, Trace
from depthscale.theory import exchangeable
from depthscale.theory.corrections.finite_width import log_variance
from depthscale.theory.corrections.relaxation import layers_until_unlike, relaxation
from depthscale.theory.corrections.sample_norm_fluctuation import sample_norm_fluctuation
from depthscale.theory.full import gram
from depthscale.theory.moments.backward import BackwardMoments
from depthscale.theory.moments.forward import UNKNOWN, ForwardMoments
from depthscale.theory.traces import predict_trace
from depthscale.theory.walk import BETWEEN_SAMPLES, over_walks, require_loss

_WORK = 128**3 * 14  # batch^3 times depth, up to which sampled batches take some seconds
_AMPLIFIED, _UNEVEN = (
    2.0,
    0.1,
)  # from which both means depart by percents; ReLU's amplification, 1, leaves them exact


def predict(
    spec: NetSpec | Trace, loss: str = "independent", inputs: Any = None, error: float = 0.01
) -> Profile:
    """What theory says of a random network of infinite width: the means that `simulate` estimates,
    or what `probe` measured.

    spec: batch may be inf. loss: "independent" or "shared". Of a trace, whose loss and inputs are
    known: the operations that every gradient path crosses, for independent weights of the mean
    squares that it has; `predict_operations` gives every one.
    inputs: [batch, entries] of data, a tensor or array, on which the networks run; by default white
    noise, for which everything is exact. error: with inputs, the relative standard error aimed at;
    the number of virtual neurons is doubled up to it.
    returns: Profile over layers 0..depth, boundary layers included; its relative_stderr is the
    error of the expectations behind it (rounding, where there are closed forms). Where a mean is
    exactly 0 or infinite the profile says so, and a note says why. log_variance says what one
    network of the described width will show around it, where that is known. Where an operation has
    no rule, a note names it; what lies before it is kept, and the rest is nan. Post-norm residual
    networks whose norm is over few values are sampled likewise, for white noise, unless they are
    large.
    raises: NoTheory for a loss that theory does not know.
    source: arXiv:1611.01232 (mean-field theory), arXiv:1902.08129 (Batch Norm), and the sources in
    `theory.norm`.
    """
    if isinstance(spec, Trace):
        return predict_trace(spec)
    if not isinstance(spec, NetSpec):
        raise TypeError(
            f"predict takes a NetSpec or a Trace, got {type(spec).__name__}; for several, call it "
            "for each"
        )
    require_loss(loss)
    graph = spec.graph()
    if inputs is not None:
        plain = inputs.detach() if hasattr(inputs, "detach") else inputs
        return given_inputs(spec, graph, loss, np.asarray(plain, np.float64), error)
    signals, missing = exchangeable.forward(graph)
    gradients, _, below = exchangeable.backward(graph, signals, BETWEEN_SAMPLES[loss])
    stops = [*missing.values(), *reversed(below.values())]
    if stops and _adds_to_a_norm(spec) and spec.batch**3 * spec.depth <= _WORK:
        return replace(given_inputs(spec, graph, loss, _white(spec), error), inputs="white noise")
    layers = list(graph.layers())
    outputs = [layer[-1] for layer in layers]
    return Profile(
        gradient=_quantity(gradients, outputs),
        activation=_quantity(signals, outputs),
        preactivation_batch_variance=_batch_variance(graph, layers, signals, spec.batch),
        source="theory",
        spec=spec.record(),
        loss=loss,
        log_variance=None if stops else log_variance(graph, signals, gradients),
        notes=(
            *[f"{STOPS} {each}" for each in stops[:1]],
            *_notes(spec),
            *_validity(spec),
            *_amplifies(spec, graph, signals),
        ),
        without_rate=spec.without_rate(),
    )


def _adds_to_a_norm(spec: NetSpec) -> bool:
    """Whether a norm over few values receives what another gave, and a branch: of that whole
    batches are sampled."""
    return (
        spec.residual is not None and spec.residual.form == "post" and spec.normalizer.is_over_few
    )


def _white(spec: NetSpec) -> np.ndarray:
    """Inputs that have exactly the second moments of white noise, and entries of mean 0. / returns:
    [batch, 2 batch]."""
    rows = np.eye(int(spec.batch))
    return np.hstack([rows, -rows]) * sqrt(spec.input_variance * spec.batch)


def _validity(spec: NetSpec) -> tuple[str, ...]:
    """What to know where Batch Norm's samples, which the walk takes as alike, grow unlike; eps,
    which is small, is left aside."""
    settles = (
        spec.residual
        or spec.position == "after"
        or spec.statistics == "running"
        or not spec.gamma
        or spec.batch < 4
    )
    if spec.norm != "batch" or settles:
        return ()
    moved = {"gain": spec.gamma, "shift": spec.beta}
    try:
        found = relaxation(spec.batch, spec.activation, **moved)
        layers = layers_until_unlike(spec.batch, spec.activation, spec.width, **moved)
    except NoTheory:
        return ()
    if found.is_stable:
        return ()
    return (
        "this takes all samples as alike, which they do not stay: each layer multiplies "
        "differences between their squared "
        f"norms by {found.lambda_l:.3f}; at width {spec.width:,} they reach the norms themselves "
        f"after some {layers:.0f} layers, "
        f"and the gradient departs before",
    )


def _amplifies(spec: NetSpec, graph: Graph, signals: list[ForwardMoments]) -> tuple[str, ...]:
    """Whether the departures that a finite width leaves grow with depth until means over networks
    depart, too."""
    held = spec.normalizer.kind or spec.residual or activation(spec.activation).homogeneous
    found = None if held else sample_norm_fluctuation(graph, signals)
    if found is None or found.amplified < _AMPLIFIED or found.variance < _UNEVEN:
        return ()
    return (
        f"a departure of a sample's mean square is {found.amplified:.1f} times as large after "
        f"{spec.depth:,} layers: at this width "
        f"samples vary by {100 * sqrt(found.variance):.0f} % (rms) there, and mean squares depart "
        "from this prediction, which "
        f"holds as width grows",
    )


def given_inputs(
    spec: NetSpec, graph: Graph, loss: str, inputs: np.ndarray, error: float
) -> Profile:
    """The prediction for data, by independent walks of ever more virtual neurons until their spread
    is small enough."""
    if inputs.ndim != 2 or len(inputs) != spec.batch or not np.isfinite(inputs).all():
        raise InvalidSpec(
            f"inputs must be finite numbers [{spec.batch}, entries], got shape {inputs.shape}"
        )
    outputs = [layer[-1] for layer in graph.layers()]
    maps = [
        next((i for i in layer if isinstance(graph.ops[i].what, Linear)), None)
        for layer in graph.layers()
    ]
    walks, points = gram.walks(graph, inputs, loss, error, outputs)
    gradient = over_walks(np.array([w.gradient[outputs] for w in walks]))
    activation = over_walks(np.array([w.signal[outputs] for w in walks]))
    reached = float(max(gradient.relative_stderr.max(), activation.relative_stderr.max()))
    variance = np.array([[w.spread[i] if i is not None else nan for i in maps] for w in walks])
    neurons = (
        f"{len(walks)} walks of {points:,} virtual neurons a layer reach a relative error "
        f"of {reached:.1e}"
    )
    return Profile(
        gradient=gradient,
        activation=activation,
        preactivation_batch_variance=over_walks(variance),
        source="theory",
        spec=spec.record(),
        loss=loss,
        notes=(neurons, *_notes(spec)),
        without_rate=spec.without_rate(),
        inputs="given",
    )


def _quantity(
    states: Sequence[ForwardMoments] | Sequence[BackwardMoments], outputs: Sequence[int]
) -> Quantity:
    """The mean squares at some operations; nan where they are not known."""
    log2_ms, error = np.array([(states[i].log2_ms, states[i].error) for i in outputs]).T
    return Quantity(log2_ms, np.where(np.isnan(log2_ms), nan, error))


def _batch_variance(
    graph: Graph, layers: Sequence[tuple[int, ...]], signals: list[ForwardMoments], samples: float
) -> Quantity:
    """Of each layer's first linear map: the variance between samples, of which the batch's own mean
    takes its share."""
    share = log2(1 - 1 / samples) if samples > 1 else -inf
    maps = [
        next((i for i in layer if isinstance(graph.ops[i].what, Linear)), None) for layer in layers
    ]
    first = [UNKNOWN if i is None else signals[i] for i in maps]
    log2_variance = np.array([each.log2_spread + share for each in first])
    return Quantity(
        log2_variance,
        np.where(np.isnan(log2_variance), nan, [max(x.errors) for x in first]),
    )


def _notes(spec: NetSpec) -> tuple[str, ...]:
    if spec.without_rate():
        return (spec.without_rate(),)
    if spec.norm == "batch" and spec.batch <= 5 and not spec.eps and spec.statistics != "running":
        return (
            f"over {spec.batch} samples the variance of 1/sigma^2 is infinite: simulated means "
            "converge slowly",
        )
    size = spec.width // spec.groups if spec.norm == "group" and not spec.eps else inf
    if 3 <= size <= 5:
        what = "mean" if size == 3 else "variance"
        return (
            f"over {size} entries the {what} of 1/sigma^2 is infinite: simulated means converge "
            "slowly",
        )
    return ()
