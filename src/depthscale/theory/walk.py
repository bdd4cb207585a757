"""predict_graph: what theory says of any graph, operation by operation and edge by edge."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, isnan, log2, nan, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthscale.errors import NoTheory
from depthscale.network import Attention, Conv, Graph, Linear, Multiply, Operation, Pool
from depthscale.run import Array, Predicted, Quantity, Readings, Run
from depthscale.theory import exchangeable
from depthscale.theory.full import gram
from depthscale.theory.local_gains import MeasuredOp
from depthscale.theory.moments.backward import BackwardMoments
from depthscale.theory.moments.forward import ForwardMoments
from depthscale.theory.moments.log2 import log2_of, product_of
from depthscale.theory.space.border_profile import overlap

BETWEEN_SAMPLES = {
    "independent": 0.0,
    "shared": 1.0,
}  # product of dE/dx_L between two samples, over its mean square
_EVEN = 1e-3  # relative variance over positions that is not worth a word


def predict_graph(
    graph: Graph,
    loss: str = "independent",
    outputs: Sequence[int] = (),
    inputs: Any = None,
    error: float = 0.01,
) -> Run:
    """What theory says of every operation of a graph: of wide random networks of this kind, on
    inputs whose samples are alike.

    Its cost with inputs grows as (samples x positions)^3. The output of an operation without a
    rule, and what depends on it, is nan until a norm makes the size of a signal known again. A
    gradient is nan below such an operation and wherever its factor depends on what is not known.

    Args:
        graph: operations, which may fork and join at will.
        loss: "independent" or "shared".
        outputs: positions of the operations that the loss reads, each with a gradient of mean
            square 1; by default the graph's own.
        inputs: [samples, entries] or [samples, channels, *size] of data, a tensor or array, in
            place of white noise, which also keeps positions apart.
        error: the relative standard error then aimed at.

    Returns:
        Run of the graph; `stops` names the operations without a rule.

    Raises:
        NoTheory: for a loss that theory does not know; with inputs also for an operation without a
            rule.

    Source: as `predict`.
    """
    require_loss(loss)
    if inputs is not None:
        plain = inputs.detach() if hasattr(inputs, "detach") else inputs
        walks, _ = gram.walks(
            graph, np.asarray(plain, np.float64), loss, error, range(len(graph.ops))
        )
        return of_samples(graph, walks, loss)
    walk = Walk.over(graph, loss, outputs)
    return of_walk(graph, walk, loss, weight_gradients=_weight_gradients(graph, walk))


@dataclass(frozen=True)
class Walk:
    """Both walks over a graph whose samples are alike: [ops] signals, gradients and gains, and what
    they had no rule for, forward and backward."""

    signals: list[ForwardMoments]
    gradients: list[BackwardMoments]
    gains: list[tuple[float, ...]]
    missing: dict[int, str]
    below: dict[int, str]

    @classmethod
    def over(
        cls,
        graph: Graph,
        loss: str,
        outputs: Sequence[int] = (),
        measured: Mapping[int, MeasuredOp] | None = None,
    ) -> "Walk":
        """Args:
        outputs: operations with a gradient of mean square 1; by default the graph's own.
        measured: what is taken where no rule is, by operation.
        """
        known = measured or {}
        signals, missing = exchangeable.forward(graph, known)
        gradients, gains, below = exchangeable.backward(
            graph, signals, BETWEEN_SAMPLES[loss], outputs or graph.sinks, known
        )
        return cls(signals, gradients, gains, missing, below)

    @property
    def stops(self) -> tuple[tuple[int, str], ...]:
        """Rules that are missing: forward ones first, as the signal meets them, then backward ones,
        as the gradient does."""
        backward = ((i, why) for i, why in self.below.items() if i not in self.missing)
        return (*self.missing.items(), *backward)


def of_walk(graph: Graph, walk: Walk, loss: str, **more: Any) -> Run:
    """The run of a graph from its walk. / more: fields of its origin."""
    origin = Predicted(
        stops=walk.stops,
        caveats=tuple((i, text) for i, op in enumerate(graph.ops) if (text := leaves_out(op.what))),
        log2_gains=by_edge(graph, walk.gains),
        **more,
    )
    signal, gradient = quantity(walk.signals), quantity(walk.gradients)
    spread = Quantity(*_spreads(graph, walk.signals).T)
    return predicted_run(graph, signal, gradient, spread, loss, origin)


def of_samples(graph: Graph, walks: Sequence[gram.GramPropagation], loss: str) -> Run:
    """The run of a graph from independent walks of whole batches."""
    signal, gradient, spread = (
        over_walks(np.array([getattr(walk, name) for walk in walks]))
        for name in ("signal", "gradient", "spread")
    )
    gains = []
    for i in range(len(graph.ops)):
        with np.errstate(divide="ignore"):
            sent = np.log2(np.array([walk.gains[i] for walk in walks]).mean(axis=0))
        gains.append(tuple(sent.tolist()))
    origin = Predicted(inputs="given", log2_gains=by_edge(graph, gains))
    return predicted_run(graph, signal, gradient, spread, loss, origin)


def predicted_run(
    graph: Graph,
    signal: Quantity,
    gradient: Quantity,
    batch_variance: Quantity | None,
    loss: str,
    origin: Predicted,
) -> Run:
    """Readings from mean squares by operation and from the origin's gains by edge."""
    entries, gains = np.array(graph.entries), origin.log2_gains
    readers = np.repeat(np.arange(len(graph.ops)), [len(op.paths) for op in graph.ops])
    sizes = entries[[source for op in graph.ops for source in op.paths]].astype(np.int64)
    with np.errstate(divide="ignore", invalid="ignore"):
        sent = gradient.log2_mean_square[readers] + gains + np.log2(sizes)
        arrived = gradient.log2_mean_square + np.log2(entries)
    readings = Readings(
        signal, gradient, arrived[None], sent[None], sizes, batch_variance=batch_variance
    )
    return Run(graph, readings, loss, 0, origin)


def by_edge(graph: Graph, gains: Sequence[tuple[float, ...]]) -> Array:
    """[edges] of gains by operation; nan where a walk did not come by."""
    rows = (
        found if len(found) == len(op.paths) else (nan,) * len(op.paths)
        for op, found in zip(graph.ops, gains, strict=True)
    )
    return np.array([gain for row in rows for gain in row], np.float64)


def quantity(states: Sequence[ForwardMoments] | Sequence[BackwardMoments]) -> Quantity:
    """The mean squares of all operations; nan where they are not known."""
    log2_ms, error = np.array([(state.log2_ms, state.error) for state in states]).T
    return Quantity(log2_ms, np.where(np.isnan(log2_ms), nan, error))


def _spreads(graph: Graph, signals: Sequence[ForwardMoments]) -> Array:
    """Of linear maps' outputs the variance between samples, of which the batch's own mean takes its
    share, and its error. / returns: [ops, 2]."""
    share = log2(1 - 1 / graph.samples) if graph.samples > 1 else -inf
    spreads = np.full((len(signals), 2), nan)
    for i, (op, signal) in enumerate(zip(graph.ops, signals, strict=True)):
        if isinstance(op.what, Linear) and not isnan(signal.log2_spread + share):
            spreads[i] = signal.log2_spread + share, max(signal.errors)
    return spreads


def _weight_gradients(graph: Graph, walk: Walk) -> Array:
    return np.array(
        [
            _weight_gradient(op.what, walk.signals[op.inputs[0]], gradient, graph.samples)
            if op.inputs
            else nan
            for op, gradient in zip(graph.ops, walk.gradients, strict=True)
        ]
    )


def _weight_gradient(
    what: Operation, x: ForwardMoments, g: BackwardMoments, samples: float
) -> float:
    """log2 of E (dE/dW)^2, dE/dW the sum of g x over samples and positions: of E g g' E x x' over
    pairs of those."""
    if not isinstance(what, Linear | Conv) or what.rows != "free":
        return nan
    places = what.window.places_out if isinstance(what, Conv) else x.places.positions
    inside = (
        overlap(what.window, x.places.profile, g.places.profile) if isinstance(what, Conv) else 1.0
    )
    pairs = (
        1
        + (places - 1) * g.position_correlation * x.position_correlation
        + (samples - 1) * places * g.sample_correlation * x.sample_correlation
        if samples < inf
        else inf
    )
    return product_of(g.log2_ms, x.log2_ms) + log2_of(inside * samples * places * pairs)


def over_walks(samples: NDArray[np.float64]) -> Quantity:
    """Mean and standard error over independent walks. / samples: [walks, places]."""
    mean = samples.mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return Quantity(
            np.log2(mean),
            np.where(mean > 0, samples.std(axis=0, ddof=1) / sqrt(len(samples)) / mean, 0.0),
        )


def require_loss(loss: object) -> None:
    """raises: NoTheory, naming the losses that theory knows."""
    if not isinstance(loss, str) or loss not in BETWEEN_SAMPLES:
        raise NoTheory(
            f"theory knows the losses {' and '.join(BETWEEN_SAMPLES)}, not {loss!r}; simulate "
            "also takes a callable"
        )


def leaves_out(what: Operation) -> str:
    """What the rule of an operation leaves out, or nothing."""
    match what:
        case Conv(window=window) if window.unevenness > _EVEN:
            varies = f"{100 * window.unevenness**0.5:.2g} %"
            return (
                f"zeros around the input: positions at a border see less (by {varies} rms); a "
                "pattern that they leave is bounded"
            )
        case Pool(window=window) if window.covers[1] > window.covers[0] * (1 + _EVEN):
            return (
                "windows overlap: neighbours are more alike than other positions, and count as "
                "equal to them"
            )
        case Attention():
            return (
                "keys are independent but for what all share; masks, but of the future and of a "
                "distant past"
            )
        case Multiply():
            return "both sides of a product are independent"
        case _:
            return ""
