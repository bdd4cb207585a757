"""predict: what theory says of a described network, layer by layer."""

from collections.abc import Sequence
from math import inf, log2, nan

import numpy as np

from depthscale.errors import NoTheory
from depthscale.graph import Graph, Linear
from depthscale.profile import Profile, Quantity
from depthscale.spec import NetSpec
from depthscale.theory import exchangeable
from depthscale.theory.states import Gradient, Signal

BETWEEN_SAMPLES = {"independent": 0.0, "shared": 1.0}  # product of dE/dx_L between two samples, over its mean square


def predict(spec: NetSpec, loss: str = "independent") -> Profile:
    """What theory says of a random network of infinite width: the means that `simulate` estimates, for white inputs.

    spec: batch may be inf. loss: "independent" or "shared".
    returns: Profile over layers 0..depth, boundary layers included; its relative_stderr is the error of the expectations behind
    it (rounding, where there are closed forms). Where a mean is exactly 0 or infinite the profile says so, and a note says why.
    Where an operation has no rule, a note names it; what lies before it is kept, and the rest is nan.
    raises: NoTheory for a loss that theory does not know.
    source: arXiv:1611.01232 (mean-field theory), arXiv:1902.08129 (Batch Norm), and the sources in `theory.norms`.
    """
    if not isinstance(spec, NetSpec):
        raise TypeError(f"predict takes a NetSpec, got {type(spec).__name__}; for several, call it for each")
    if not isinstance(loss, str) or loss not in BETWEEN_SAMPLES:
        raise NoTheory(f"theory knows the losses {' and '.join(BETWEEN_SAMPLES)}, not {loss!r}; simulate also takes a callable")
    graph = spec.graph()
    signals, missing = exchangeable.forward(graph)
    gradients: list[Gradient | None] = []
    if not missing:
        gradients, missing = exchangeable.backward(graph, signals, BETWEEN_SAMPLES[loss])
    outputs = [layer[-1] for layer in graph.layers()]
    return Profile(
        gradient=_quantity(gradients, outputs),
        activation=_quantity(signals, outputs),
        preactivation_batch_variance=_batch_variance(graph, signals, spec.batch),
        source="theory",
        spec=spec.record(),
        loss=loss,
        notes=(*([f"the prediction stops at {missing}"] if missing else []), *_notes(spec)),
        without_rate=spec.without_rate(),
    )


def _quantity(states: Sequence[Signal | Gradient | None], outputs: Sequence[int]) -> Quantity:
    """The mean squares at some operations; nan past the last that is known."""
    known = [states[i] if i < len(states) else None for i in outputs]
    return Quantity(
        np.array([each.log2_ms if each else nan for each in known]), np.array([each.error if each else nan for each in known])
    )


def _batch_variance(graph: Graph, signals: list[Signal], samples: float) -> Quantity:
    """Of each layer's first linear map: the variance between samples, of which the batch's own mean takes its share."""
    share = log2(1 - 1 / samples) if samples > 1 else -inf
    maps = [next((i for i in layer if isinstance(graph.ops[i].what, Linear)), len(signals)) for layer in graph.layers()]
    first = [signals[i] if i < len(signals) else None for i in maps]
    return Quantity(
        np.array([each.log2_spread + share if each else nan for each in first]),
        np.array([each.error if each else nan for each in first]),
    )


def _notes(spec: NetSpec) -> tuple[str, ...]:
    if spec.without_rate():
        return (spec.without_rate(),)
    if spec.norm == "batch" and spec.batch <= 5 and not spec.eps and spec.statistics != "running":
        return (f"over {spec.batch} samples the variance of 1/sigma^2 is infinite: simulated means converge slowly",)
    size = spec.width // spec.groups if spec.norm == "group" and not spec.eps else inf
    if 3 <= size <= 5:
        what = "mean" if size == 3 else "variance"
        return (f"over {size} entries the {what} of 1/sigma^2 is infinite: simulated means converge slowly",)
    return ()
