"""Moments under a norm's law with eps: its many radii are told by a series, and are those that are
computed one by one."""

from math import sqrt

import numpy as np
import pytest

from depthscale.network.activations import activation
from depthscale.numerics import sphere
from depthscale.theory.moments.expectations import slopes, values, weighted_slopes
from depthscale.theory.moments.laws import Spherical, variance_rule

BATCH = 8


def law(gain: float) -> Spherical:
    """Ten radii of a batch norm whose eps is a tenth of the variance."""
    variances, weights = (np.array(each)[::5] for each in variance_rule(BATCH, BATCH - 1))
    radii = np.sqrt(variances / (variances + 0.1))
    return Spherical(
        BATCH, None, tuple(radii.tolist()), tuple((weights / weights.sum()).tolist()), 0.1, gain
    )


@pytest.mark.parametrize("name", ["gelu", "tanh", "selu", "relu"])
def test_radii_told_by_a_series_are_those_computed_one_by_one(name: str) -> None:
    a, on = activation(name), sphere.Sphere.centred(BATCH)
    values(name, law(0.9))  # the questions after which the series answers
    asked = law(1.1)
    found, slope, weighted = values(name, asked), slopes(name, asked), weighted_slopes(name, asked)

    def mean(f, kinks) -> float:
        each = [
            sphere.expect(lambda z, t=t: f(t, z), on, [k / t for k in kinks]).value
            for t in np.array(asked.radii) * 1.1
        ]
        return float(np.dot(asked.weights, each))

    for ours, f in (
        (1 + found.mean, lambda t, z: 1 + a.phi(t * z)),
        (found.square, lambda t, z: a.phi(t * z) ** 2),
        (slope.square, lambda t, z: a.derivative(t * z) ** 2),
        (
            float(np.dot(asked.weights, weighted.z_square)),
            lambda t, z: (t / 1.1 * z * a.derivative(t * z)) ** 2,
        ),
    ):
        assert ours == pytest.approx(mean(f, a.breaks), rel=1e-10)
        assert ours != pytest.approx(
            mean(lambda t, z, f=f: f(t * (1 + 1e-6), z) * (1 + 1e-8), a.breaks), rel=1e-10
        )
    last = int(np.argmax(asked.radii))
    t = asked.radii[last] * 1.1
    pair = sphere.expect_pair(
        lambda u, v: a.derivative(t * u) * a.derivative(t * v), on, [k / t for k in a.breaks]
    ).value
    assert weighted.product[last] == pytest.approx(pair, rel=1e-10)


def test_a_batch_of_two_has_two_points_at_every_radius() -> None:
    """z is 1 and -1: the mean square of tanh is tanh^2, radius by radius."""
    radii, weights = tuple(np.linspace(0.5, 1.0, 20).tolist()), (0.05,) * 20
    found = values("tanh", Spherical(2, None, radii, weights, 0.1))
    assert found.square == pytest.approx(float(np.mean(np.tanh(radii) ** 2)), rel=1e-9)
    assert found.product == pytest.approx(-found.square, rel=1e-9)
    assert sqrt(found.square) < np.tanh(1.0)
