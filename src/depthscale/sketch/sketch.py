"""Sketch: the distribution of one tensor's values over every magnitude, mergeable, a few
kilobytes."""

from collections.abc import Callable
from math import ceil, frexp, inf, isfinite, ldexp, log2, nan, sqrt
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from depthscale.drawable import Drawable
from depthscale.sketch import codec
from depthscale.sketch.formats import FORMATS, NumberFormat
from depthscale.sketch.tally import EMPTY, Intervals, Tally

if TYPE_CHECKING:
    from torch import Tensor


class Sketch(Drawable):
    """Counts of a tensor's values by the top 16 bits of their float32 pattern, with sums of values
    and squares beside them.

    Bins are at most 2^-7 (0.8 %) of their lower edge wide for every magnitude from 2^-126 to 2^128,
    and 2^-133 wide below; zeros, tiny values (nonzero, below 2^-133), infinities and NaNs are
    counted apart. Values stand for v 2^log2_scale. `a + b` is the sketch of both sets of values:
    counts are exact in any order; sums round as float64 addition does. Statistics are over the
    finite values unless they say otherwise. A sketch of a tensor on a device does not wait for it
    until the first number is read.

    Example:
        >>> import torch
        >>> sketch = Sketch.of(torch.tensor([0.0, 3.0, -4.0])) + Sketch.of(torch.tensor([0.0]))
        >>> sketch.count, sketch.zeros, sketch.mean_square()
        (4, 2, 6.25)
        >>> sketch
        Sketch(4 values: rms 2.5, |x| 3 to 4, 2 zeros)
    """

    __slots__ = ("_tally",)

    def __init__(self, tally: Tally | Callable[[], Tally] = EMPTY):
        self._tally = tally

    @classmethod
    def of(cls, tensor: "Tensor", log2_scale: int = 0) -> "Sketch":
        """Count every element of a tensor of any shape, strides and device.

        The tensor is not changed, and dense memory is not copied. float16 is exact in float32.
        float64 is rounded toward zero into the bins; where float32's normal range does not hold all
        its magnitudes, they are first divided by a power of two that puts the largest near 2^127;
        log2_scale carries it.

        Args:
            tensor: float16, bfloat16, float32 or float64.
            log2_scale: values stand for v 2^log2_scale.

        Raises:
            UnsupportedTensor: for other types and for tensors without plain memory (sparse,
                quantized, meta).

        Example:
            >>> import torch
            >>> Sketch.of(torch.ones(2, 3), log2_scale=10).rms()
            1024.0
        """
        from depthscale.sketch.counting import tally_of

        return cls(tally_of(tensor, log2_scale))

    @property
    def tally(self) -> Tally:
        """The counts behind the readings; waits for the device that is still counting."""
        tally = self._tally
        if not isinstance(tally, Tally):  # two threads that ask at once read the same counts
            tally = self._tally = tally()
        return tally

    def __add__(self, other: "Sketch") -> "Sketch":
        if not isinstance(other, Sketch):
            return NotImplemented
        return Sketch(self.tally + other.tally)

    def __radd__(self, other: object) -> "Sketch":
        return self if other == 0 else NotImplemented  # lets sum() start from 0

    # ---- counts: exact

    @property
    def count(self) -> int:
        """Number of values, finite or not."""
        return self.tally.count

    @property
    def zeros(self) -> int:
        """Number of values equal to 0, of either sign."""
        return self.tally.zeros

    @property
    def subnormals(self) -> int:
        """Number of nonzero values with |v| < 2^-126, float32's smallest normal number (v: before
        log2_scale)."""
        tally = self.tally
        return sum(tally.tiny) + int(tally.counts[tally.subnormal].sum())

    @property
    def infs(self) -> int:
        """Number of infinities, of either sign."""
        return sum(self.tally.infinities)

    @property
    def nans(self) -> int:
        """Number of NaNs, of any sign and payload."""
        return self.tally.nans

    @property
    def finite(self) -> int:
        """Number of finite values, zeros included."""
        return self.tally.finite

    @property
    def log2_scale(self) -> int:
        """The power of two by which the counted values are multiplied; 0 where no value is nonzero
        and finite."""
        return self.tally.log2_scale

    # ---- moments: over the finite values; nan where there is none, or where float64 does not hold
    # the number. Results below 2^-1022, which log2_scale can lead to, are rounded as float64's
    # subnormals are: the bounds hold but for that.

    def mean(self) -> float:
        """Mean.

        Returns:
            Off by at most count 2^-53 times the mean of |x|, from summing in float64; nan where
            there is no finite value.
        """
        tally = self.tally
        return _scaled(tally.total / tally.finite, tally.log2_scale) if tally.finite else nan

    def mean_square(self) -> float:
        """Mean of x^2.

        Returns:
            Relative error at most (count + 1) 2^-53; nan where there is no finite value.
        """
        tally = self.tally
        return (
            _scaled(tally.square_total / tally.finite, 2 * tally.log2_scale)
            if tally.finite
            else nan
        )

    def log2_mean_square(self) -> float:
        """log2 of the mean of x^2, also where float64 does not hold that mean.

        Returns:
            Off by at most (count + 1) 2^-52 and the rounding of the number itself; -inf where all
            values are 0, nan where there is none.

        Example:
            >>> import torch
            >>> tiny = Sketch.of(torch.ones(5), log2_scale=-2000)
            >>> tiny.log2_mean_square(), tiny.mean_square()
            (-4000.0, nan)
        """
        tally = self.tally
        if not tally.finite:
            return nan
        significand, exponent = frexp(tally.square_total / tally.finite)
        return log2(significand) + (exponent + 2 * tally.log2_scale) if significand else -inf

    def rms(self) -> float:
        """Root of the mean of x^2.

        Returns:
            Relative error at most count 2^-53; nan where there is no finite value.
        """
        tally = self.tally
        return (
            _scaled(sqrt(tally.square_total / tally.finite), tally.log2_scale)
            if tally.finite
            else nan
        )

    def std(self) -> float:
        """Standard deviation around the mean (divided by count).

        Returns:
            The error of its square is at most (count + 2) 2^-51 of mean_square; nan where there is
            no finite value.
        """
        tally = self.tally
        if not tally.finite:
            return nan
        mean = tally.total / tally.finite
        return _scaled(
            sqrt(max(tally.square_total / tally.finite - mean * mean, 0.0)), tally.log2_scale
        )

    def min_magnitude(self) -> float:
        """Smallest nonzero finite |x|.

        Returns:
            Exact (up to 2^-1074 2^log2_scale if scaled); nan where there is none.
        """
        tally = self.tally
        return _scaled(tally.smallest, tally.log2_scale) if tally.nonzero else nan

    def max_magnitude(self) -> float:
        """Largest finite |x|.

        Returns:
            Exact; nan where there is no finite value.
        """
        tally = self.tally
        return _scaled(tally.largest, tally.log2_scale) if tally.finite else nan

    # ---- the distribution

    def quantile(self, q: float) -> float:
        """The value at or below which a share q of the values lies: the ceil(q n)-th smallest of
        the n that are not NaN.

        Args:
            q: in [0, 1].

        Returns:
            The middle of its bin, off by at most 2^-8 (0.4 %) of the value, or 2^-134 2^log2_scale
            where that is more; exact for zeros, infinities, and where all magnitudes are equal. nan
            where there is no value.

        Raises:
            ValueError: for another q.

        Example:
            >>> import torch
            >>> Sketch.of(torch.tensor([-torch.inf, 0.0, 0.0, torch.inf])).quantile(0.75)
            0.0
        """
        _require(0 <= q <= 1, f"quantile: q must lie in [0, 1], got {q!r}")
        tally = self.tally
        minus, plus = tally.infinities
        ranked = tally.finite + minus + plus
        if not ranked:
            return nan
        rank = max(1, ceil(q * ranked))
        if rank <= minus:
            return -inf
        if rank > minus + tally.finite:
            return inf
        return _scaled(tally.signed.at_rank(rank - minus), tally.log2_scale)

    def magnitude_quantile(self, q: float) -> float:
        """Quantile of |x| over the nonzero finite values.

        Args:
            q: in [0, 1].

        Returns:
            As `quantile`.

        Raises:
            ValueError: for another q.
        """
        _require(0 <= q <= 1, f"magnitude_quantile: q must lie in [0, 1], got {q!r}")
        tally = self.tally
        return (
            _scaled(tally.magnitudes.at_rank(max(1, ceil(q * tally.nonzero))), tally.log2_scale)
            if tally.nonzero
            else nan
        )

    def histogram(self, edges: ArrayLike) -> NDArray[np.float64]:
        """Number of values in [edges[i], edges[i+1]); the last interval holds its upper edge too.

        Args:
            edges: [k + 1] ascending, linear, logarithmic or any; infinite ones too.

        Returns:
            [k] counts; a bin cut by an edge is shared as if even. A value is on its right side of
            an edge e if it differs from e by more than one bin: 2^-7 |e|, or 2^-133 2^log2_scale
            where that is more.

        Raises:
            ValueError: for edges that do not ascend.

        Example:
            >>> import torch
            >>> Sketch.of(torch.tensor([-3.0, 0.0, 5.0, 6.0])).histogram([-8, 0, 8]).tolist()
            [1.0, 3.0]
        """
        return self._histogram(edges, self.tally.signed, self.tally.infinities)

    def magnitude_histogram(self, edges: ArrayLike) -> NDArray[np.float64]:
        """Number of nonzero values with |x| in [edges[i], edges[i+1]).

        Args:
            edges: as of `histogram`.

        Returns:
            As `histogram`.
        """
        return self._histogram(edges, self.tally.magnitudes, (0, self.infs))

    def underflow(self, number_format: str, loss_scale: float = 1.0) -> float:
        """Share of all values that are nonzero and become 0 when multiplied by loss_scale and
        rounded to the format.

        Args:
            number_format: float16, bfloat16, float8_e4m3fn or float8_e5m2 (subnormals kept,
                rounding to nearest even).
            loss_scale: a positive number.

        Returns:
            Off by at most the share of values within one bin (see `histogram`) of the format's
            threshold / loss_scale; nan where there is no value.

        Raises:
            ValueError: for another format or scale.

        Example:
            >>> import torch
            >>> sketch = Sketch.of(torch.tensor([1.0, 2.0**-30]))
            >>> sketch.underflow("float16"), sketch.underflow("float16", loss_scale=1024.0)
            (0.5, 0.0)
        """
        fmt = _format(number_format)
        lost = self._magnitudes_up_to(fmt.largest_lost, loss_scale, inclusive=True)
        return lost / self.count if self.count else nan

    def overflow(self, number_format: str, loss_scale: float = 1.0) -> float:
        """Share of all values that are finite and round beyond the format's largest number.

        They become infinite; in float8_e4m3fn, which has no infinity, NaN or, where the cast
        saturates as torch's may, 448.

        Args:
            number_format: as of `underflow`.
            loss_scale: as of `underflow`.

        Returns:
            As `underflow`.

        Example:
            >>> import torch
            >>> Sketch.of(torch.tensor([1.0, 1e6])).overflow("float16")
            0.5
        """
        fmt = _format(number_format)
        kept = self._magnitudes_up_to(fmt.largest_kept, loss_scale, inclusive=fmt.tie_kept)
        return (self.tally.nonzero - kept) / self.count if self.count else nan

    # ---- in and out

    def to_bytes(self) -> bytes:
        """Compact, versioned bytes of this sketch.

        Example:
            >>> Sketch.from_bytes(Sketch().to_bytes())
            Sketch(empty)
        """
        return codec.encode(self.tally)

    @classmethod
    def from_bytes(cls, encoded: bytes) -> "Sketch":
        """The sketch that `to_bytes` wrote: the same counts, sums and scale.

        Raises:
            InvalidRecord: for damaged bytes or a newer version.
        """
        return cls(codec.decode(encoded))

    def __reduce__(self):
        return Sketch.from_bytes, (self.to_bytes(),)

    def __repr__(self) -> str:
        if not self.count:
            return "Sketch(empty)"
        apart = [
            f"{n:,} {what}"
            for n, what in ((self.zeros, "zeros"), (self.infs, "infinities"), (self.nans, "NaNs"))
            if n
        ]
        spread = [
            f"rms {self.rms():.4g}",
            f"|x| {self.min_magnitude():.3g} to {self.max_magnitude():.3g}",
        ]
        return (
            f"Sketch({self.count:,} values: "
            f"{', '.join(spread + apart if self.tally.nonzero else apart)})"
        )

    def _histogram(
        self, edges: ArrayLike, intervals: Intervals, infinities: tuple[int, int]
    ) -> NDArray[np.float64]:
        edges = np.asarray(edges, np.float64)
        _require(
            edges.ndim == 1 and len(edges) > 1,
            "histogram: edges must be a list of at least two numbers",
        )
        _require(
            bool((edges[1:] > edges[:-1]).all()), "histogram: edges must ascend and hold no NaN"
        )
        with np.errstate(over="ignore", under="ignore"):
            scaled = np.ldexp(edges, -self.log2_scale)
        below = intervals.below(scaled)
        below[-1] = intervals.below(scaled[-1:], inclusive=True)[0]
        counts = np.diff(below)
        counts[0] += infinities[0] * (edges[0] == -inf)
        counts[-1] += infinities[1] * (edges[-1] == inf)
        return counts

    def _magnitudes_up_to(self, limit: float, loss_scale: float, *, inclusive: bool) -> float:
        _require(
            isfinite(loss_scale) and loss_scale > 0,
            f"loss_scale must be a positive number, got {loss_scale!r}",
        )
        significand, exponent = frexp(loss_scale)
        threshold = _ldexp(limit / significand, -exponent - self.log2_scale)
        return self.tally.magnitudes_up_to(threshold, inclusive=inclusive)


def _scaled(value: float, power: int) -> float:
    """value 2^power, or nan where float64 holds it only as 0 or infinity."""
    scaled = _ldexp(value, power)
    return nan if value and isfinite(value) and (scaled == 0 or not isfinite(scaled)) else scaled


def _ldexp(value: float, power: int) -> float:
    try:
        return ldexp(value, power)
    except OverflowError:
        return inf if value > 0 else -inf


def _format(name: str) -> NumberFormat:
    try:
        return FORMATS[name]
    except KeyError:
        raise ValueError(
            f"unknown number format {name!r}; choose one of {', '.join(FORMATS)}"
        ) from None


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)
