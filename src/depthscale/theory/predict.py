"""predict: what theory says of a described network, layer by layer."""

from dataclasses import replace
from math import inf, sqrt
from typing import Any

import numpy as np

from depthscale.errors import InvalidSpec, NoTheory, Undefined
from depthscale.network import Graph, NetSpec, activation
from depthscale.run import Run
from depthscale.theory.corrections.finite_width import log_variance
from depthscale.theory.corrections.relaxation import layers_until_unlike, relaxation
from depthscale.theory.corrections.sample_norm_fluctuation import sample_norm_fluctuation
from depthscale.theory.full import gram
from depthscale.theory.moments.forward import ForwardMoments
from depthscale.theory.traces import predict_run
from depthscale.theory.walk import Walk, of_samples, of_walk, require_loss

_WORK = 128**3 * 14  # batch^3 times depth, up to which sampled batches take some seconds
_ROUNDING = 2.0**-40  # of a mean square: a variance below has errors of 2^-12 in float64, and more
_AMPLIFIED, _UNEVEN = (
    2.0,
    0.1,
)  # from which both means depart by percents; ReLU's amplification, 1, leaves them exact


def predict(
    network: NetSpec | Run, loss: str = "independent", inputs: Any = None, error: float = 0.01
) -> Run:
    """What theory says of a random network of infinite width: the means that `simulate` estimates,
    or what `probe` measured.

    Where a mean is exactly 0 or infinite the run says so, and a note says why. Post-norm residual
    networks whose norm is over few values are sampled as with inputs, for white noise, unless they
    are large.

    Args:
        network: a description, whose batch may be inf; or a probed run, of which theory takes the
            operations, the loss, and independent weights of the mean squares that it has; a
            prediction is returned as it is.
        loss: "independent" or "shared"; a run's own is taken.
        inputs: [batch, entries] of data, a tensor or array, on which the networks run; by default
            white noise, for which everything is exact.
        error: with inputs, the relative standard error aimed at; the number of virtual neurons is
            doubled up to it.

    Returns:
        Run; the relative_stderr of its quantities is the error of the expectations behind them
        (rounding, where there are closed forms). Where an operation has no rule, `stops` names it:
        what lies before it is kept, and the rest is nan.

    Raises:
        NoTheory: for a loss that theory does not know.
        InvalidSpec: for inputs of another batch or not finite, and an error that is not above 0.
        Undefined: for inputs without a variance that a norm over the batch could divide by.

    Example:
        >>> import depthscale as ds
        >>> spec = ds.NetSpec(depth=20, width=256, norm="batch", batch=128)
        >>> print(f"{ds.growth(ds.predict(spec)).rate:.4f}")
        1.4797

    Source: arXiv:1611.01232 (mean-field theory), arXiv:1902.08129 (Batch Norm), and the sources in
        `theory.norms`.
    """
    if isinstance(network, Run):
        return predict_run(network)
    if not isinstance(network, NetSpec):
        raise TypeError(
            f"predict takes a NetSpec or a Run, got {type(network).__name__}; for several, call it "
            "for each"
        )
    require_loss(loss)
    graph = network.graph()
    if inputs is not None:
        plain = inputs.detach() if hasattr(inputs, "detach") else inputs
        return given_inputs(network, graph, loss, np.asarray(plain, np.float64), error)
    walk = Walk.over(graph, loss)
    if walk.stops and _adds_to_a_norm(network) and network.batch**3 * network.depth <= _WORK:
        sampled = given_inputs(network, graph, loss, _white(network), error)
        return replace(sampled, origin=replace(sampled.origin, inputs="white noise"))
    run = of_walk(
        graph,
        walk,
        loss,
        spec=network.record(),
        log_variance=None if walk.stops else log_variance(graph, walk.signals, walk.gradients),
        without_rate=network.without_rate(),
    )
    notes = (
        *(f"the prediction stops at {why}" for _, why in walk.stops[:1]),
        *_notes(network),
        *_validity(network),
        *_amplifies(network, graph, walk.signals),
    )
    return replace(run, notes=notes)


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


def given_inputs(spec: NetSpec, graph: Graph, loss: str, inputs: np.ndarray, error: float) -> Run:
    """The prediction for data, by independent walks of ever more virtual neurons until their spread
    is small enough."""
    if inputs.ndim != 2 or len(inputs) != spec.batch:
        raise InvalidSpec(f"inputs must be [{spec.batch}, entries], got shape {inputs.shape}")
    if not np.isfinite(inputs).all():
        wrong = int((~np.isfinite(inputs)).sum())
        raise InvalidSpec(f"inputs must be finite, got {wrong} that are nan or inf")
    if not (isinstance(error, int | float) and error > 0):
        raise InvalidSpec(f"error must be a number above 0, as 0.01, got {error!r}")
    mixes = spec.normalizer.mixes_samples and spec.statistics != "running"
    if mixes and _share_apart(inputs) < _ROUNDING:
        raise Undefined(
            "the samples of inputs are equal but for rounding, and a norm over the batch would "
            "amplify that to noise; give inputs that differ"
        )
    walks, points = gram.walks(graph, inputs, loss, error, list(graph.places))
    run = of_samples(graph, walks, loss)
    reached = max(
        float(quantity.relative_stderr.max()) for quantity in (run.gradient, run.activation)
    )
    neurons = (
        f"{len(walks)} walks of {points:,} virtual neurons a layer reach a relative error "
        f"of {reached:.1e}"
    )
    origin = replace(run.origin, spec=spec.record(), without_rate=spec.without_rate())
    return replace(run, origin=origin, notes=(neurons, *_notes(spec)))


def _share_apart(inputs: np.ndarray) -> float:
    """Share of the mean square that is variance between samples; 1 of zeros, which no rounding
    tells apart."""
    largest = np.abs(inputs).max()
    if not largest:
        return 1.0
    scaled = inputs / largest
    return float(scaled.var(axis=0).mean() / (scaled**2).mean())


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
