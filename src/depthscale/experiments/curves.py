"""The predicted gradient of every setting of activation, normalizer and batch, at any depth.

Between layers l and l - 1 the gradient's mean square changes by a factor that depends on l alone,
whatever the depth, but for the layer under the loss, which has one of its own. So whoever holds
these factors has the curve of any depth by adding logarithms.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any

import numpy as np

from depthscale.network import NetSpec
from depthscale.theory import predict

ACTIVATIONS = ("relu", "leaky_relu(0.2)", "gelu", "silu", "tanh", "erf", "sin", "linear")
NORMALIZERS = {
    "none": {"norm": "none"},
    "Batch Norm": {"norm": "batch"},
    "Batch Norm, frozen statistics": {"norm": "batch", "statistics": "frozen"},
    "layer norm": {"norm": "layer"},
    "RMS norm": {"norm": "rms"},
    "layer norm after the activation": {"norm": "layer", "position": "after"},
}
BATCHES = (4, 5, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512, 1024, inf)
DEEPEST = 60
_SHALLOW = 7
_SETTLED = 1e-12  # change of a step's log2 below which the rest are taken as equal


@dataclass(frozen=True)
class Curve:
    """steps: log2 of the factor from layer k to k - 1, k = 1, 2, ...; the last stands for all
    further ones.

    top: that of the layer under the loss, where it has one of its own (-inf: the gradient below is
    exactly 0); else None.
    """

    steps: tuple[float, ...]
    top: float | None

    @classmethod
    def of(cls, spec: NetSpec, loss: str) -> "Curve":
        """spec: its depth is set here, a small one if its steps are all alike from some layer
        on."""
        shallow = cls._over(spec, loss, _SHALLOW)
        return shallow if len(shallow.steps) < _SHALLOW - 2 else cls._over(spec, loss, DEEPEST + 1)

    @classmethod
    def _over(cls, spec: NetSpec, loss: str, depth: int) -> "Curve":
        log2 = predict(replace(spec, depth=depth), loss=loss).gradient.log2_mean_square
        top = float(log2[-2] - log2[-1])
        if np.isneginf(top):
            return cls((0.0,), top)
        steps = log2[:-1] - log2[1:]
        return cls(_trimmed(steps[:-1].tolist()), None if spec.norm == "none" else top)

    def levels(self, depth: int) -> list[float]:
        """log2 of the gradient's mean square at layers 0..depth, 0 at the last: what the page's
        script does with these numbers."""
        levels = [0.0]
        for k in range(depth, 0, -1):
            step = self.steps[min(k, len(self.steps)) - 1]
            levels.insert(
                0, levels[0] + (self.top if k == depth and self.top is not None else step)
            )
        return levels

    def record(self) -> dict[str, Any]:
        return {"steps": list(self.steps), "top": "zero" if self.top == -inf else self.top}


def curves(spec: NetSpec, loss: str) -> dict[str, Curve]:
    """Every setting of the controls: "activation|normalizer|batch" -> its curve. / spec: the fields
    that have no control."""
    return {
        key(activation, name, batch): Curve.of(_setting(spec, activation, name, batch), loss)
        for activation in ACTIVATIONS
        for name in NORMALIZERS
        for batch in (batches(spec) if name.startswith("Batch") else (inf,))
    }


def _setting(spec: NetSpec, activation: str, normalizer: str, batch: float) -> NetSpec:
    norm = {"norm": "none", "position": "before"} | NORMALIZERS[normalizer]
    return replace(spec, activation=activation, batch=batch, **norm)


def batches(spec: NetSpec) -> list[float]:
    """Those of the slider, and the network's own."""
    return sorted({*BATCHES, spec.batch})


def key(activation: str, normalizer: str, batch: float) -> str:
    return (
        f"{activation}|{normalizer}|{batch:g}"
        if normalizer.startswith("Batch")
        else f"{activation}|{normalizer}|inf"
    )


def _trimmed(steps: Sequence[float]) -> tuple[float, ...]:
    """Without the end that repeats."""
    known = list(steps)
    while len(known) > 1 and abs(known[-1] - known[-2]) < _SETTLED:
        known.pop()
    return tuple(known)
