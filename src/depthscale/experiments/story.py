"""What the founding article tells beside its run: the argument judged on the run's networks, and
what theory predicts of other activations, normalizers, batches and depths."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf, nan
from typing import Any

from depthscale._explain import Argument, growth_argument
from depthscale.errors import DepthscaleError, UnreliableGrowth
from depthscale.experiments.curves import ACTIVATIONS, Curve, curves
from depthscale.experiments.founding import Founding
from depthscale.measure import growth
from depthscale.network import NetSpec
from depthscale.theory import predict

_DEEP_ENOUGH, _BATCH_ENOUGH = 4, 4
_ARGUED = 8  # networks whose every tensor is kept to judge the argument
_DEPTH = 6  # layers after which a rate is taken
_DRAWN = ("relu", "tanh", "linear")
_BATCHES = (4, 5, 6, 8, 12, 16, 24, 32, 64, 128, 256, 512, inf)


@dataclass(frozen=True, eq=False)
class Story:
    """All rates are predicted factors of the squared gradient per layer.

    Args:
        spec: The run's network with Batch Norm.
        judges: How many of the run's networks judge the argument.
        argument: The argument on these networks, or why it cannot be judged.
        others: Activation -> normalizer -> rate, for weights of variance 2 / fan_in.
        batches: Activation -> batch -> rate, under Batch Norm.
        curves: Setting of the controls -> curve, for weights of variance 2 / fan_in.
    """

    spec: NetSpec
    judges: int
    argument: Argument | DepthscaleError
    others: Mapping[str, Mapping[str, float]]
    batches: Mapping[str, Mapping[float, float]]
    curves: Mapping[str, Curve]


def story(found: Founding) -> Story | None:
    """None where the argument is not about the run's networks: their sizes may differ from the
    founding ones, their activation and scales not."""
    run = found.measured[1]
    spec = NetSpec.from_record(run.spec)
    if not _is_founding(found, spec):
        return None
    judges = min(max(run.networks, 3), _ARGUED)
    return Story(
        spec,
        judges,
        _argument(spec, run.loss, judges, run.seed),
        {name: _by_normalizer(name, spec.batch) for name in ACTIVATIONS},
        {
            name: {batch: _rate(activation=name, norm="batch", batch=batch) for batch in _BATCHES}
            for name in _DRAWN
        },
        curves(replace(spec, sigma_w2=2.0), run.loss),
    )


def _is_founding(found: Founding, spec: NetSpec) -> bool:
    sizes = {"depth": spec.depth, "width": spec.width, "batch": spec.batch}
    theirs = NetSpec(norm="batch", input_variance=spec.input_variance, **sizes)
    return (
        bool(found.predicted)
        and spec == theirs
        and spec.depth >= _DEEP_ENOUGH
        and spec.batch >= _BATCH_ENOUGH
    )


def _argument(spec: NetSpec, loss: str, seeds: int, seed: int) -> Argument | DepthscaleError:
    try:
        return growth_argument(spec, loss=loss, seeds=seeds, seed=seed)
    except DepthscaleError as refused:
        return refused


def _by_normalizer(activation: str, batch: float) -> dict[str, float]:
    settings = {
        f"Batch Norm, batch {batch}": {"norm": "batch", "batch": batch},
        "endless batch": {"norm": "batch", "batch": inf},
        "layer norm": {"norm": "layer", "batch": inf},
        "layer norm after it": {"norm": "layer", "batch": inf, "position": "after"},
        f"none ({_DEPTH} layers)": {"norm": "none", "batch": inf},
    }
    return {name: _rate(activation=activation, **each) for name, each in settings.items()}


def _rate(**fields: Any) -> float:
    """Of a refused rate, the estimate."""
    try:
        return growth(predict(NetSpec(depth=_DEPTH, **fields))).rate
    except UnreliableGrowth as refused:
        return refused.estimate.rate if refused.estimate else nan
