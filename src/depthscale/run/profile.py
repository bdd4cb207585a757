"""Profile: quantities of a network along its depth, measured or predicted, and how sure they
are."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import isnan
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from depthscale.drawable import Drawable
from depthscale.run.frames import data_frame
from depthscale.sketch import Sketch

Array = NDArray[np.float64]
STOPS = "the prediction stops at"  # begins the note that says where, and why


@dataclass(frozen=True, eq=False)
class Quantity:
    """A mean square along depth, in logarithms.

    log2_mean_square: [layers]; -inf and inf say exactly 0 and infinite, nan that there is no value.
    relative_stderr: [layers] standard error of the mean over seeds, over that mean; 0 for exact
    theory, nan where unknown.
    log2_samples: [seeds, layers] each seed's own, or None for theory.
    """

    log2_mean_square: Array
    relative_stderr: Array
    log2_samples: Array | None = None

    @classmethod
    def over_seeds(cls, log2_samples: Array) -> "Quantity":
        """Arithmetic mean over seeds (by log-sum-exp) with its standard error. / log2_samples:
        [seeds, layers]."""
        seeds = len(log2_samples)
        top = np.where(np.isfinite(log2_samples), log2_samples, -np.inf).max(axis=0)
        shifted = np.exp2(log2_samples - np.where(np.isfinite(top), top, 0.0))
        mean = shifted.mean(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = (
                shifted.std(axis=0, ddof=1) / np.sqrt(seeds)
                if seeds > 1
                else np.full_like(mean, np.nan)
            )
            relative = np.where(mean > 0, spread / mean, 0.0 if seeds > 1 else np.nan)
            log2_mean = np.log2(mean) + np.where(np.isfinite(top), top, 0.0)
        return cls(log2_mean, relative, log2_samples)

    @classmethod
    def exact(cls, log2_mean_square: Array) -> "Quantity":
        """A quantity known without error."""
        return cls(log2_mean_square, np.where(np.isnan(log2_mean_square), np.nan, 0.0))

    @cached_property
    def mean_square(self) -> Array:
        """[layers] the plain value; nan where float64 holds it only as 0 or infinity though it is
        neither."""
        return _plain(self.log2_mean_square, 1.0)

    @cached_property
    def stderr(self) -> Array:
        """[layers] standard error of mean_square; nan where unknown or outside float64."""
        return _plain(self.log2_mean_square, self.relative_stderr)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.mean_square, dtype)

    def __len__(self) -> int:
        return len(self.log2_mean_square)


@dataclass(frozen=True, eq=False)
class Profile(Drawable):
    """Quantities over layers 0..depth of a described network. / layer 0 is the input.

    gradient: mean square of dE/dx_l; activation: of x_l.
    preactivation_batch_variance: mean over neurons of the (biased) variance of y_l over the batch,
    nan at layer 0.
    gradient_sketches: [depth + 1], preactivation_sketches: [depth + 1] (None at layer 0):
    distributions over all seeds, the latter of what the activation receives; empty for theory.
    source: "simulation" or "theory"; spec: the network's fields; seeds: how many networks (0 for
    theory), from seed on.
    log_variance: [layers] theory's variance, over networks of this width, of log(gradient_l /
    gradient_L); None where it has none.
    inputs: "white noise", or "given" data.
    notes: what must be known to read the numbers; without_rate: why the gradient has no rate of
    growth, or nothing.
    """

    gradient: Quantity
    activation: Quantity
    preactivation_batch_variance: Quantity
    source: Literal["simulation", "theory"]
    spec: Mapping[str, Any]
    loss: str
    seeds: int = 0
    seed: int = 0
    gradient_sketches: tuple[Sketch, ...] = ()
    preactivation_sketches: tuple[Sketch | None, ...] = ()
    log_variance: Array | None = None
    notes: tuple[str, ...] = ()
    without_rate: str = ""
    axis: str = "layer"
    inputs: str = "white noise"

    @property
    def depth(self) -> int:
        return len(self.gradient) - 1

    @property
    def gradient_log2_norm2(self) -> Array:
        """[layers] log2 of the squared norm of one sample's dE/dx: the mean square times the
        layer's width."""
        widths = self.spec.get("widths") or [self.spec["width"]] * (self.depth + 1)
        return self.gradient.log2_mean_square + np.log2(np.asarray(widths, float))

    @property
    def bulk(self) -> tuple[int, int]:
        """First and last layer whose gradient obeys the bulk's law: not the input, not the one
        under the loss."""
        return 1, self.depth - 1

    def __repr__(self) -> str:
        described = ", ".join(
            f"{name}={self.spec[name]!r}"
            for name in ("model", "depth", "width", "activation", "norm")
            if name in self.spec
        )
        over = f", {self.seeds} seeds" if self.seeds else ""
        levels = [float(self.gradient.log2_mean_square[end]) / 2 for end in (0, -1)]
        first, last = ("not known" if isnan(level) else f"2^{level:.4g}" for level in levels)
        reached = f"; gradient RMS {first} at the input, {last} at the output"
        stops = "".join(f"; {note}" for note in self.notes if note.startswith(STOPS))
        return f"Profile({self.source}: {described}, loss={self.loss!r}{over}{reached}{stops})"

    def to_pandas(self) -> Any:
        """A pandas DataFrame, one row a layer: log2 of each mean square, the mean square and its
        standard error.

        raises: MissingPackage where pandas is not installed.
        """
        quantities = {
            name: getattr(self, name)
            for name in ("gradient", "activation", "preactivation_batch_variance")
        }
        columns = {}
        for name, quantity in quantities.items():
            columns |= {
                f"{name}_log2_ms": quantity.log2_mean_square,
                f"{name}_ms": quantity.mean_square,
            }
            columns[f"{name}_ms_stderr"] = quantity.stderr
        return data_frame(columns, self.axis)


def _plain(log2_value: Array, factor: Array | float) -> Array:
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        value = np.exp2(log2_value)
        held = np.isinf(log2_value) | (np.isfinite(value) & (value > 0))
        return np.where(held, value * factor, np.nan)
