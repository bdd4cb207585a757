"""compare: two profiles of the same depth, layer by layer, in standard errors."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtri, stdtr

from depthscale.profile import Array, Profile, Quantity, data_frame

_MANY = 1000  # degrees of freedom


@dataclass(frozen=True, eq=False)
class Comparison:
    """log2_ratio: [layers] log2 of a's mean square over b's; relative_stderr: [layers] of that ratio.

    standard_errors: [layers] how far the ratio lies from 1, as the standard normal deviate that is as unlikely as Student's t
    over so few seeds; nan where there is nothing to compare with.
    """

    log2_ratio: Array
    relative_stderr: Array
    standard_errors: Array

    def __repr__(self) -> str:
        known = np.nan_to_num(np.abs(self.standard_errors))
        layer = int(known.argmax())
        return f"Comparison(layer {layer} differs most: x{2 ** self.log2_ratio[layer]:.4g}, {known[layer]:.1f} standard errors)"

    def _repr_html_(self) -> str:
        from depthscale.report.notebook import comparison_html

        return comparison_html(self)

    def to_pandas(self) -> Any:
        """A pandas DataFrame, one row a layer. / raises: MissingPackage where pandas is not installed."""
        return data_frame({name: getattr(self, name) for name in self.__dataclass_fields__}, "layer")


class Comparisons(dict[str, Comparison]):
    """Comparisons by quantity. / a, b: the profiles compared."""

    def __init__(self, found: dict[str, Comparison], a: Profile, b: Profile):
        super().__init__(found)
        self.a, self.b = a, b

    def _repr_html_(self) -> str:
        from depthscale.report.notebook import comparisons_html

        return comparisons_html(self)


def compare(a: Profile, b: Profile) -> Comparisons:
    """How far a lies from b: for "gradient", "activation" and "preactivation_batch_variance".

    Standard errors are those of both together, as if independent; layers of one network are not independent of each other.
    raises: ValueError for different depths.
    """
    if a.depth != b.depth:
        raise ValueError(f"profiles of {a.depth} and {b.depth} layers cannot be compared layer by layer; give equal depths")
    degrees = sum(profile.seeds for profile in (a, b)) - sum(profile.seeds > 0 for profile in (a, b))
    names = ("gradient", "activation", "preactivation_batch_variance")
    return Comparisons({name: _compare(getattr(a, name), getattr(b, name), degrees) for name in names}, a, b)


def _compare(a: Quantity, b: Quantity, degrees: int) -> Comparison:
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        log2_ratio = a.log2_mean_square - b.log2_mean_square
        ratio = np.exp2(log2_ratio)
        stderr = np.hypot(ratio * a.relative_stderr, ratio * b.relative_stderr)
        t = np.where(stderr > 0, (ratio - 1) / stderr, np.nan)
        return Comparison(log2_ratio, stderr, normal_deviate(t, degrees))


def normal_deviate(t: Array, degrees: int) -> Array:
    """The standard normal number with the tail of Student's t; t itself where there are many degrees of freedom, or none."""
    return -np.sign(t) * ndtri(stdtr(degrees, -np.abs(t))) if 0 < degrees < _MANY else t
