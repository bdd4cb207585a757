"""predict_graph: what theory says of any graph, operation by operation and edge by edge."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, nan, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthscale.errors import NoTheory
from depthscale.network import Attention, Conv, Graph, Linear, Op, Operation, Pool
from depthscale.run import Quantity
from depthscale.theory import exchangeable
from depthscale.theory.full import gram
from depthscale.theory.moments.backward import BackwardMoments
from depthscale.theory.moments.forward import ForwardMoments
from depthscale.theory.moments.log2 import log2_of, product_of
from depthscale.theory.space.border_profile import overlap

BETWEEN_SAMPLES = {
    "independent": 0.0,
    "shared": 1.0,
}  # product of dE/dx_L between two samples, over its mean square
_EVEN = 1e-3  # relative variance over positions that is not worth a word


@dataclass(frozen=True)
class Predicted:
    """One operation. / log2_activation, log2_gradient: log2 of the mean square of its output x and
    of dE/dx; nan: not known.

    activation_error, gradient_error: relative. gradient: -inf where dE/dx is exactly 0, as for what
    no output depends on.
    log2_gains: for each input log2 of (mean square of what this operation sends down that edge / of
    its own gradient); where that gradient is not known, for one that no two samples share.
    missing: which rule is missing here, and why, or nothing. caveat: what the rule used here leaves
    out, or nothing.
    log2_weight_gradient: of an entry of a linear map's or convolution's weights, over the whole
    batch; nan for what has none.
    """

    name: str
    log2_activation: float
    activation_error: float
    log2_gradient: float
    gradient_error: float
    log2_gains: tuple[float, ...]
    missing: str = ""
    caveat: str = ""
    log2_weight_gradient: float = nan


@dataclass(frozen=True)
class Walk:
    """A prediction of every operation of a graph. / ops: in the graph's order; loss: the one that
    was asked for."""

    ops: tuple[Predicted, ...]
    loss: str

    @property
    def missing(self) -> tuple[str, ...]:
        """Every rule that is missing: forward ones first, as the signal meets them, then backward
        ones, as the gradient does."""
        return tuple(op.missing for op in self.ops if op.missing)


def predict_graph(
    graph: Graph,
    loss: str = "independent",
    outputs: Sequence[int] = (),
    inputs: Any = None,
    error: float = 0.01,
) -> Walk:
    """Theory beside every operation of a graph: of wide random networks of this kind, on inputs
    whose samples are alike.

    loss: "independent" or "shared". outputs: positions of the operations that the loss reads, each
    with a gradient of mean square 1; by default the last. Operations may fork and join at will.
    inputs: [samples, entries] or [samples, channels, *size] of data, a tensor or array, in place of
    white noise, which also keeps positions apart; error: the relative standard error then aimed at.
    Its cost grows as (samples x positions)^3. An operation without a rule is named in `missing`;
    its output, and what depends on it, is nan until a norm makes the size of a signal known again.
    A gradient is nan below such an operation and wherever its factor depends on what is not known.
    raises: NoTheory for a loss that theory does not know; with inputs also for an operation without
    a rule. / source: as `predict`.
    """
    require_loss(loss)
    if inputs is not None:
        return _on_inputs(
            graph,
            loss,
            np.asarray(inputs.detach() if hasattr(inputs, "detach") else inputs, np.float64),
            error,
        )
    signals, missing = exchangeable.forward(graph)
    gradients, gains, below = exchangeable.backward(graph, signals, BETWEEN_SAMPLES[loss], outputs)
    found = []
    for i, (op, signal, gradient) in enumerate(zip(graph.ops, signals, gradients, strict=True)):
        found.append(
            Predicted(
                op.name,
                signal.log2_ms,
                _known(signal.log2_ms, signal.error),
                gradient.log2_ms,
                _known(gradient.log2_ms, gradient.error),
                gains[i],
                missing.get(i) or below.get(i, ""),
                _caveat(op),
                _weight_gradient(op.what, signals[op.inputs[0]], gradient, graph.samples)
                if op.inputs
                else nan,
            )
        )
    return Walk(tuple(found), loss)


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


def _on_inputs(graph: Graph, loss: str, inputs: NDArray[np.float64], error: float) -> Walk:
    walks, _ = gram.walks(graph, inputs, loss, error, range(len(graph.ops)))
    signal, gradient = (
        over_walks(np.array([getattr(w, name) for w in walks])) for name in ("signal", "gradient")
    )
    found = []
    for i, op in enumerate(graph.ops):
        sent = np.array([w.gains[i] for w in walks]).mean(axis=0)
        with np.errstate(divide="ignore"):
            gains = tuple(np.log2(sent).tolist())
        x, g = (
            (float(q.log2_mean_square[i]), float(q.relative_stderr[i])) for q in (signal, gradient)
        )
        found.append(Predicted(op.name, *x, *g, gains))
    return Walk(tuple(found), loss)


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


def _known(log2_ms: float, error: float) -> float:
    return float(error) if log2_ms == log2_ms else nan


def _caveat(op: Op) -> str:
    said = _leaves_out(op.what)
    return f"{op.name}: {said}" if said else ""


def _leaves_out(what: Operation) -> str:
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
            return "softmax to the leading order in its logits: nearly the mean over positions"
        case _:
            return ""
