"""The other normalizers: the gradient's factor per layer, each from its own paper.

Layer norm arXiv:1607.06450, RMS norm 1910.07467, group norm 1803.08494, weight norm 1602.07868,
weight standardization 1903.10520, scaled weight standardization 2101.08692; compared with each
other in 2106.05956.
"""

from math import inf, pi, sqrt

import numpy as np
import pytest
from scipy.integrate import quad

from depthscale.network.activations import activation
from depthscale.network.spec import NetSpec
from depthscale.theory import predict
from tolerances import agrees


def rate(norm: str, name: str = "relu", **changes: float | str) -> float:
    fields = {"norm": norm, "activation": name, "depth": 12, "width": 1024} | changes
    log2 = predict(NetSpec(**fields)).gradient.log2_mean_square  # pyright: ignore[reportArgumentType]
    return float(2.0 ** (log2[-3] - log2[-2]))


def differs(found: float, printed: str) -> None:
    with pytest.raises(AssertionError):
        agrees(found, printed)


BEFORE = {
    "linear": "1.00000",
    "relu": "1.00000",
    "leaky_relu": "1.00000",
    "tanh": "1.17781",
    "erf": "1.22570",
    "gelu": "1.07203",
}
BEFORE |= {"silu": "1.06663", "sin": "1.31304"}


@pytest.mark.parametrize("norm", ["layer", "rms"])
@pytest.mark.parametrize("name", BEFORE)
def test_layer_and_rms_norm_keep_relu_at_1_and_grow_gelu_by_1_07203(norm: str, name: str) -> None:
    """E phi'(g)^2 / E phi(g)^2 at any sigma_w2: y's entries are Gaussian of mean 0, so both divide
    by the root of q.

    They do not take away the mean of phi over the entries, which Batch Norm does; for ReLU that is
    the whole of its explosion.
    """
    for sigma_w2 in (2.0, 0.4):
        agrees(rate(norm, name, sigma_w2=sigma_w2), BEFORE[name])


def test_twin_batch_norm_does_not_keep_relu_at_1() -> None:
    differs(rate("batch", batch=inf), "1.00000")
    differs(rate("layer", "gelu", gamma=1.1), BEFORE["gelu"])


@pytest.mark.parametrize(
    ("name", "layer", "rms"), [("relu", "1.4669", "1.0000"), ("tanh", "1.3443", "1.3443")]
)
def test_layer_norm_after_relu_grows_by_1_4669_and_rms_norm_by_1(
    name: str, layer: str, rms: str
) -> None:
    """x = LN(phi(y)): sigma_w2 E phi'^2 / Var phi at sigma_w2 = 2; RMS norm has E phi^2 for the
    variance.

    Over many entries the gradient's terms through the statistics are of order 1 / width.
    """
    agrees(rate("layer", name, position="after"), layer)
    agrees(rate("rms", name, position="after"), rms)


def test_twin_layer_norm_before_relu_does_not_grow() -> None:
    differs(rate("layer", position="before"), "1.4669")
    differs(rate("rms", position="after"), "1.4669")


def group_rate(name: str, m: int) -> float:
    """E (m-1-z^2) phi'(z)^2 / ((m-3) E phi(z)^2), z = sqrt(m-1) sin t with weight cos^(m-3) t, a
    coordinate of the sphere.

    z is uniform on the sphere of m - 1 dimensions and independent of sigma, E 1/sigma^2 = m /
    ((m-3) q), and of a gradient whose entries are independent the norm leaves 1 - 1/m - z^2/m.
    """
    a = activation(name)

    def expect(f) -> float:
        def integrand(t: float) -> float:
            return float(f(np.array([sqrt(m - 1) * np.sin(t)]))[0]) * np.cos(t) ** (m - 3)

        return sum(quad(integrand, *ends, epsabs=1e-13)[0] for ends in ((-pi / 2, 0), (0, pi / 2)))

    return expect(lambda z: (m - 1 - z * z) * a.derivative(z) ** 2) / (
        (m - 3) * expect(lambda z: a.phi(z) ** 2)
    )


@pytest.mark.parametrize("m", [4, 8, 16, 32, 64])
def test_group_norm_over_m_entries_grows_relu_by_m_minus_2_over_m_minus_3(m: int) -> None:
    assert rate("group", groups=1024 // m) == pytest.approx((m - 2) / (m - 3), rel=1e-12)
    with pytest.raises(AssertionError):  # that of RMS norm over m entries, which takes away no mean
        assert rate("group", groups=1024 // m) == pytest.approx((m - 1) / (m - 2), rel=1e-4)


@pytest.mark.parametrize("m", [4, 8, 16, 32, 64])
def test_rms_norm_over_m_entries_grows_relu_by_m_minus_1_over_m_minus_2(m: int) -> None:
    assert rate("group_rms", groups=1024 // m) == pytest.approx((m - 1) / (m - 2), rel=1e-12)
    with pytest.raises(AssertionError):  # that of group norm, which takes away a mean
        assert rate("group_rms", groups=1024 // m) == pytest.approx((m - 2) / (m - 3), rel=1e-4)


@pytest.mark.parametrize("m", [4, 8, 64])
@pytest.mark.parametrize("name", ["tanh", "gelu"])
def test_rms_norm_over_8_entries_is_its_formula_by_another_quadrature(name: str, m: int) -> None:
    """E (m - z^2) phi'(z)^2 / ((m - 2) E phi(z)^2), z = sqrt(m) sin t with weight cos^(m-2) t."""
    a = activation(name)

    def expect(f) -> float:
        return quad(
            lambda t: float(f(np.array([sqrt(m) * np.sin(t)]))[0]) * np.cos(t) ** (m - 2),
            -pi / 2,
            pi / 2,
            epsabs=1e-13,
        )[0]

    formula = expect(lambda z: (m - z * z) * a.derivative(z) ** 2) / (
        (m - 2) * expect(lambda z: a.phi(z) ** 2)
    )
    assert rate("group_rms", name, groups=1024 // m) == pytest.approx(formula, rel=1e-9)


@pytest.mark.parametrize("m", [4, 8, 16, 64])
@pytest.mark.parametrize("name", ["tanh", "erf", "gelu", "silu", "softplus", "elu"])
def test_group_norm_over_8_entries_is_its_formula_by_another_quadrature(name: str, m: int) -> None:
    assert rate("group", name, groups=1024 // m) == pytest.approx(group_rate(name, m), rel=1e-9)
    with pytest.raises(AssertionError):
        assert rate("group", name, groups=1024 // m) == pytest.approx(
            group_rate(name, m + 1), rel=1e-4
        )


def test_group_norm_over_ever_more_entries_is_layer_norm() -> None:
    """The difference falls as 1 / m."""
    gaps = [
        rate("group", "gelu", groups=1, width=m) - rate("layer", "gelu") for m in (1000, 10_000)
    ]
    assert 9.9 < gaps[0] / gaps[1] < 10.1


def test_weight_norm_halves_relus_gradient_and_a_row_norm_of_root_2_keeps_it() -> None:
    """Each row has norm gamma, so sigma_w2 is gamma^2 exactly: gamma^2 E phi'^2."""
    agrees(rate("weight"), "0.5")
    assert rate("weight", gamma=sqrt(2)) == pytest.approx(1, rel=1e-12)
    differs(rate("weight", gamma=2.0), "1.0")  # gamma is a norm, not a variance


def test_weight_standardization_halves_relus_gradient_and_leaves_0_341_of_its_variance() -> None:
    """Rows of mean 0 and norm 1 do not see x's mean over entries: backward E phi'^2, forward Var
    phi = .341 q."""
    found = predict(NetSpec(norm="weight_standardized", batch=10**6))
    agrees(rate("weight_standardized"), "0.5")
    forward = found.activation.mean_square
    for layer in (2, 3, 4):
        agrees(forward[layer] / forward[layer - 1], "0.341")
    plain = predict(NetSpec(norm="weight", batch=10**6)).activation.mean_square
    differs(plain[3] / plain[2], "0.341")  # rows that still see the mean


GAINS = {
    "linear": "1.0000",
    "relu": "1.71286",
    "leaky_relu": "1.7048",
    "tanh": "1.5925",
    "erf": "1.4672",
    "gelu": "1.7009",
}
GAINS |= {"silu": "1.7872", "sin": "1.5209"}


@pytest.mark.parametrize("name", GAINS)
def test_scaled_weight_standardization_multiplies_relu_by_1_71286(name: str) -> None:
    """The gain is 1 / sqrt(Var phi(g)); over an infinite batch of variance 1, y's first variance is
    its square."""
    first = predict(NetSpec(norm="scaled_weight_standardized", activation=name, batch=inf, depth=2))
    agrees(sqrt(first.batch_variance.mean_square[1]), GAINS[name])
    if name != "linear":
        differs(
            sqrt(
                predict(NetSpec(norm="weight_standardized", batch=inf)).batch_variance.mean_square[
                    1
                ]
            ),
            GAINS[name],
        )


def test_scaled_weight_standardization_grows_relu_by_1_4669_and_keeps_its_variance() -> None:
    """gamma^2 E phi'^2 = E phi'^2 / Var phi, Batch Norm's rate; the forward factor is gamma^2 Var
    phi = 1."""
    agrees(rate("scaled_weight_standardized"), "1.4669")
    forward = predict(NetSpec(norm="scaled_weight_standardized")).activation.mean_square
    assert forward[2:] == pytest.approx(forward[1], rel=1e-12)
    assert rate("scaled_weight_standardized") == pytest.approx(rate("batch", batch=inf), rel=1e-12)
    differs(rate("weight_standardized"), "1.4669")
