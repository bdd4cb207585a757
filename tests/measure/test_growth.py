"""The rate's standard error holds, and a rate that cannot be trusted is refused."""

from dataclasses import replace
from math import exp, inf, log

import numpy as np
import pytest

from depthscale.errors import InvalidInput, UnreliableGrowth
from depthscale.measure import growth
from depthscale.nets import simulate
from depthscale.network import Graph, Input, Linear, NetSpec, Op
from depthscale.run import Quantity, Run, Simulated, simulated_readings
from depthscale.theory import predict


def walk(seeds: int, depth: int, rate: float, spread: float, rng: np.random.Generator) -> Run:
    """A run whose log gain is a random walk with given steps; the ends are far off and must not
    matter."""
    steps = rng.normal(log(rate), spread, (seeds, depth - 2)) / log(2)
    bulk = np.concatenate([np.zeros((seeds, 1)), np.cumsum(steps, axis=1)], axis=1)[:, ::-1]
    edge = np.full((seeds, 1), 50.0)
    levels = np.concatenate([edge, bulk, -edge], axis=1)
    layers = (Op(f"{n}", Linear(1, 1, 1.0, 0.0), (n - 1,), n) for n in range(1, depth + 1))
    graph = Graph((Op("input", Input(1.0), (), 0), *layers))
    measured = {"activation": levels, "gradient": levels, "batch_variance": levels}
    edges = {"edge": np.full((seeds, depth), np.nan)}
    readings = simulated_readings(graph, measured | edges, (), ())
    return Run(graph, readings, "independent", seeds, Simulated({"depth": depth}))


def test_the_rate_is_the_mean_step_of_the_bulk() -> None:
    found = growth(walk(1, 30, 1.3, 0.0, np.random.default_rng(0)))
    assert found.rate == pytest.approx(1.3)
    assert (found.first_layer, found.last_layer) == (1, 29)
    assert found.rms_rate == pytest.approx(1.3**0.5)
    assert found.depth_scale == pytest.approx(1 / log(1.3))


def test_an_activations_growth_is_towards_the_output() -> None:
    """Of one quantity the one rate is the other's inverse; in theory, sigma_w2 / 2 a layer."""
    profile = walk(3, 30, 1.3, 0.1, np.random.default_rng(0))
    assert growth(profile, "activation").rate == pytest.approx(1 / growth(profile).rate)
    assert growth(predict(NetSpec(sigma_w2=2.4, depth=20)), "activation").rate == pytest.approx(1.2)


def test_another_quantity_is_refused() -> None:
    with pytest.raises(
        InvalidInput, match="of the 'gradient' or of the 'activation', got 'activations'"
    ):
        growth(walk(1, 30, 1.3, 0.0, np.random.default_rng(0)), "activations")  # type: ignore[call-overload]


@pytest.mark.parametrize(("seeds", "depth"), [(1, 12), (3, 8), (1, 60), (20, 10), (9, 3)])
def test_its_standard_error_covers_as_student_says(seeds: int, depth: int) -> None:
    """Beyond 3 standard errors in under 2 % of networks, and beyond 1 in about a third."""
    rng = np.random.default_rng(1)
    apart = np.array([growth(walk(seeds, depth, 1.2, 0.1, rng)).log_stderr for _ in range(5)])
    assert (apart > 0).all()
    distances = []
    for _ in range(2000):
        found = growth(walk(seeds, depth, 1.2, 0.1, rng))
        distances.append((log(found.rate) - log(1.2)) / found.log_stderr)
    beyond = np.abs(np.array(distances))
    assert (beyond > 3).mean() < 0.02 + 3 * (0.02 * 0.98 / 2000) ** 0.5
    assert 0.30 < (beyond > 1).mean() < 0.39


def test_the_residuals_of_a_line_would_not_cover() -> None:
    """The twin: levels of a random walk are not independent, so a line's own error finds growth
    where there is none."""
    rng, beyond = np.random.default_rng(2), 0
    for _ in range(300):
        levels = walk(1, 60, 1.0, 0.1, rng).gradient.log2_mean_square[1:60] * log(2)
        slope, covariance = np.polyfit(np.arange(59), levels, 1, cov=True)
        beyond += abs(slope[0]) > 3 * covariance[0, 0] ** 0.5
    assert beyond > 150


def test_of_200_healthy_networks_under_2_percent_seem_to_grow_or_shrink() -> None:
    spec = NetSpec(depth=30, width=128, batch=16)
    healthy = simulate(spec, seeds=200)
    samples = healthy.readings.gradient.log2_samples
    assert samples is not None
    beyond = 0
    for row in samples:
        readings = replace(healthy.readings, gradient=Quantity.over_seeds(row[None]))
        one = replace(healthy, readings=readings, networks=1)
        beyond += abs(growth(one).standard_errors_from_1) > 3
    assert beyond < 4


def test_batch_norm_is_seen_to_explode_in_one_network() -> None:
    found = growth(simulate(NetSpec(depth=20, width=128, batch=32, norm="batch"), seeds=1))
    assert found.standard_errors_from_1 > 10


@pytest.mark.parametrize(("seeds", "depth"), [(1, 4), (1, 5), (2, 3), (2, 5), (7, 3)])
def test_few_steps_are_read_with_students_t(seeds: int, depth: int) -> None:
    """Beyond as many standard errors as are as sure as 3 in under 1 % of networks; the plain 3
    would be passed in up to a fifth (Student's t with 1 degree of freedom)."""
    rng = np.random.default_rng(3)
    rates = [growth(walk(seeds, depth, 1.4, 0.1, rng)) for _ in range(500)]
    assert {found.degrees for found in rates} == {seeds * (depth - 2) - 1}
    assert sum(not found.interval[0] < 1.4 < found.interval[1] for found in rates) < 10


def test_one_step_is_refused_with_the_estimate_and_what_would_do() -> None:
    """Of 3 layers the bulk leaves one step, which has no error; the layer under the loss is not
    its second one."""
    one = walk(1, 3, 1.4, 0.1, np.random.default_rng(3))
    with pytest.raises(UnreliableGrowth, match="3 repetitions of layer leave 1 whole") as refused:
        growth(one)
    assert refused.value.estimate is not None
    assert 1.0 < refused.value.estimate.rate < 2.0
    assert refused.value.needed == "4 layers, or 2 networks"
    assert growth(walk(1, 4, 1.4, 0.1, np.random.default_rng(3))).degrees == 1
    assert growth(walk(2, 3, 1.4, 0.1, np.random.default_rng(3))).degrees == 1


@pytest.mark.parametrize("depth", [1, 2])
def test_without_a_bulk_there_is_no_estimate(depth: int) -> None:
    with pytest.raises(UnreliableGrowth, match="at least 3") as refused:
        growth(simulate(NetSpec(depth=depth, width=8, batch=4), seeds=20))
    assert refused.value.estimate is None


def test_a_prediction_has_no_error_and_is_never_refused() -> None:
    found = growth(predict(NetSpec(depth=3, norm="batch", batch=inf)))
    assert (found.stderr, found.steps) == (0, 1)
    assert found.standard_errors_from_1 == inf
    assert growth(predict(NetSpec())).standard_errors_from_1 == 0


def test_what_a_norm_deleted_is_refused_and_a_steep_fall_is_not() -> None:
    """Both fall by more than 2^36 in a layer: the one to rounding, the other because its weights
    are small."""
    deleted = NetSpec(depth=5, width=32, batch=8, norm="batch", activation="linear")
    with pytest.raises(UnreliableGrowth, match="from layer 5 to 4 the gradient falls"):
        growth(simulate(deleted, seeds=8, loss="shared"))
    steep = growth(simulate(NetSpec(depth=5, width=64, batch=8, sigma_w2=1e-13), seeds=8))
    assert steep.rate == pytest.approx(5e-14, rel=0.2)
    large_inputs = NetSpec(depth=5, width=64, batch=16, norm="batch", input_variance=1e14)
    assert growth(simulate(large_inputs, seeds=8)).rate == pytest.approx(1.59, rel=0.1)


def test_a_factor_beyond_float64_is_refused() -> None:
    with pytest.raises(UnreliableGrowth, match="float64 does not hold"):
        growth(predict(NetSpec(sigma_w2=5e-324)))


def test_deep_gradients_outside_float64_have_the_right_rate() -> None:
    """2,000 layers over 8 samples: the mean square grows by 2^1677, and by 1.788 a layer."""
    spec = NetSpec(depth=2000, width=512, batch=8, norm="batch")
    found, theory = growth(simulate(spec, seeds=1)), growth(predict(spec))
    assert theory.rate == pytest.approx(1.78819, abs=5e-6)
    finite_width = 0.01 * theory.rate  # the mean bulk rate's bias at these widths
    assert abs(found.rate - theory.rate) < 4 * found.stderr + finite_width
    assert exp(2000 * log(found.rate) / 2) > 1e200
