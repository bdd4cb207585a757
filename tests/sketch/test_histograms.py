"""Histograms over any edges: a value more than one bin away from an edge is on its right side."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from math import inf, isfinite, nan

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from depthscale.sketch import Sketch
from sketch_reference import DTYPES, Reference, reference
from sketch_values import any_tensors, edges_near, examples, scales

# 1 to 1 + 2^-7: evenly through the first bin above 1
ONE_BIN = torch.arange(1024) / (1024 * 128) + 1


@examples(150)
@given(st.data())
def test_values_lie_on_their_side_of_every_edge(data: st.DataObject):
    tensor, log2_scale = data.draw(any_tensors()), data.draw(scales())
    truth = reference(tensor, log2_scale)
    edges = data.draw(edges_near(truth.finite))
    measured = Sketch.of(tensor, log2_scale).histogram(edges)
    assert_between(measured, edges, truth, truth.finite, (truth.minus, truth.plus))


@examples(150)
@given(st.data())
def test_magnitudes_lie_on_their_side_of_every_edge(data: st.DataObject):
    tensor, log2_scale = data.draw(any_tensors()), data.draw(scales())
    truth = reference(tensor, log2_scale)
    edges = data.draw(edges_near(truth.magnitudes))
    measured = Sketch.of(tensor, log2_scale).magnitude_histogram(edges)
    assert_between(measured, edges, truth, truth.magnitudes, (0, truth.minus + truth.plus))


def assert_between(
    measured,
    edges: list[float],
    truth: Reference,
    values: list[Fraction],
    infinities: tuple[int, int],
) -> None:
    """Each count lies between that of the values surely inside and that of those possibly
    inside."""
    values = sorted(values)
    assert measured.shape == (len(edges) - 1,)
    for i, (low, high) in enumerate(pairwise(edges)):
        surely, possibly = sides(values, low, high, truth)
        infinite = (infinities[0] if low == -inf else 0) + (
            infinities[1] if high == inf and i == len(edges) - 2 else 0
        )
        assert (
            surely + infinite - 1e-9 * len(values)
            <= measured[i]
            <= possibly + infinite + 1e-9 * len(values)
        )


def sides(values: list[Fraction], low: float, high: float, truth: Reference) -> tuple[int, int]:
    low_from, low_to = reach(low, truth)
    high_from, high_to = reach(high, truth)
    surely = bisect_left(values, high_from) - bisect_right(values, low_to)
    possibly = bisect_right(values, high_to) - bisect_left(values, low_from)
    return max(surely, 0), possibly


def reach(edge: float, truth: Reference) -> tuple[Fraction | float, Fraction | float]:
    """The stretch of values that may be taken for either side of an edge."""
    if not isfinite(edge):
        return edge, edge
    return Fraction(edge) - truth.bin_width(Fraction(edge)), Fraction(edge) + truth.bin_width(
        Fraction(edge)
    )


@examples(150)
@given(any_tensors(), scales())
def test_between_infinite_edges_lies_everything_but_nans(tensor: Tensor, log2_scale: int):
    sketch = Sketch.of(tensor, log2_scale)
    assert sketch.histogram([-inf, inf]).tolist() == [sketch.count - sketch.nans]
    assert sketch.magnitude_histogram([0, inf]).tolist() == [
        sketch.count - sketch.nans - sketch.zeros
    ]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_edges_on_the_edges_of_bins_count_positive_values_exactly(dtype: torch.dtype):
    edges = np.array([1, 1 + 2.0**-7, 1 + 2.0**-6, 1.5, 2, 2 + 2.0**-6, 4, 1000, 32768])
    values = torch.logspace(0, 4.5, 3000, dtype=torch.float64).to(dtype)
    assert (
        Sketch.of(values).histogram(edges).tolist()
        == np.histogram(values.double().numpy(), edges)[0].tolist()
    )


@pytest.mark.parametrize(
    "make", [torch.Tensor.clone, torch.Tensor.neg], ids=["positive", "negative"]
)
@pytest.mark.parametrize("cut", [0.1, 0.25, 0.5, 0.9])
def test_a_bin_that_an_edge_cuts_is_shared_evenly(make: Callable[[Tensor], Tensor], cut: float):
    at = 1 + cut * 2.0**-7
    shared = Sketch.of(make(ONE_BIN)).magnitude_histogram([1, at, 2])
    assert np.abs(shared - [1024 * cut, 1024 * (1 - cut)]).max() <= 2


@pytest.mark.parametrize("cut", [0.1, 0.25, 0.5, 0.9])
def test_a_bin_of_both_signs_is_shared_evenly_too(cut: float):
    at = 1 + cut * 2.0**-7
    shared = Sketch.of(torch.cat([ONE_BIN, -ONE_BIN])).magnitude_histogram([1, at, 2])
    assert np.abs(shared - [2048 * cut, 2048 * (1 - cut)]).max() <= 4


def test_one_magnitude_is_told_from_every_edge_exactly():
    sketch = Sketch.of(torch.full((7,), 0.3))
    value = float(torch.tensor(0.3))
    assert sketch.histogram([0, value, 1]).tolist() == [0, 7]
    assert sketch.histogram([0, value]).tolist() == [7]
    assert sketch.histogram([0, np.nextafter(value, 0), np.nextafter(value, 1)]).tolist() == [0, 7]


def test_infinities_are_counted_only_between_infinite_edges():
    sketch = Sketch.of(torch.tensor([-inf, -inf, 1.0, inf, nan]))
    assert sketch.histogram([-inf, 0, inf]).tolist() == [2, 2]
    assert sketch.histogram([-1e308, 0, 1e308]).tolist() == [0, 1]
    assert sketch.magnitude_histogram([0, 2, inf]).tolist() == [1, 3]
    assert sketch.magnitude_histogram([0, 2, 1e308]).tolist() == [1, 0]


def test_zeros_lie_on_the_right_side_of_an_edge_at_zero():
    assert Sketch.of(torch.tensor([0.0, -0.0, 1e-45, -1e-45])).histogram([-1, 0, 1]).tolist() == [
        1,
        3,
    ]


@pytest.mark.parametrize("edges", [[-1.7e308, 0, 1.7e308], [0, 1e308], [-inf, 5e-324, inf]])
def test_edges_far_outside_the_values_do_not_warn(edges: list[float]):
    values = torch.tensor([1e-45, -1e-42, 1e-38, 0.5])
    assert Sketch.of(values).histogram(edges).sum() == int(torch.count_nonzero(values >= edges[0]))


def test_linear_and_logarithmic_histograms_of_many_values_agree_with_numpy_within_one_bin():
    values = torch.randn(50_000, generator=torch.Generator().manual_seed(3))
    exact = values.double().numpy()
    for edges in (np.linspace(-4, 4, 33), np.geomspace(1e-6, 10, 50)):
        near = np.count_nonzero(np.abs(exact[:, None] - edges) <= 2.0**-7 * np.abs(edges))
        difference = np.abs(Sketch.of(values).histogram(edges) - np.histogram(exact, edges)[0])
        assert difference.sum() <= 2 * near
        assert difference.max() < 300


@pytest.mark.parametrize(
    "edges",
    [[1.0], [], [[0.0, 1.0]], [1, 1], [2, 1], [0, nan], [nan, nan], [inf, inf], [0, inf, inf]],
    ids=str,
)
def test_edges_that_do_not_ascend_are_refused(edges: list[float]):
    with pytest.raises(ValueError, match="edges must"):
        Sketch.of(torch.ones(3)).histogram(edges)
