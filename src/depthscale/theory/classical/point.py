"""Classical: what mean-field theory says of a network without norm, from its activation and the
variances of its parameters."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isinf, isnan, log, nan

from depthscale.errors import Divergent, InvalidSpec
from depthscale.network import Activation, activation
from depthscale.numerics import Estimate
from depthscale.theory.classical import maps
from depthscale.theory.classical.fixed_points import c_star, q_star
from depthscale.theory.classical.maps import Given

CRITICAL = 1e-9  # |chi_1 - 1| that counts as critical: a depth scale of 1e9 layers
_NUDGE = 1e-4  # relative step in q that tells how a number depends on it
_LINEAR = 1e-6  # correlation that one layer makes out of none, below which phi is straight at 0
UNKNOWN = Estimate(nan, nan)


@dataclass(frozen=True)
class Classical:
    """Fixed points, slopes and depth scales, each with its error; what there is none of is nan, and
    `advice` says why.

    q_star, c_star: variance of the preactivations, and their correlation between two samples, after
    many layers.
    chi_1: gradient variance ratio per layer. / chi_q, chi_c: by what a distance from q_star, c_star
    is multiplied per layer.
    xi_q, xi_c, xi_gradient: layers over which such a distance, or the gradient's variance, changes
    e-fold: 1 / |log(chi)|.
    phase: "ordered" for chi_1 < 1, "chaotic" for chi_1 > 1, "critical" within 1e-9 of 1,
    "undefined" without chi_1.
    advice: empty where nothing is out of the ordinary.
    """

    activation: str
    sigma_w2: float
    sigma_b2: float
    q_star: Estimate
    chi_1: Estimate
    chi_q: Estimate
    c_star: Estimate
    chi_c: Estimate
    xi_q: Estimate
    xi_c: Estimate
    xi_gradient: Estimate
    phase: str
    advice: str

    @property
    def trainable_depth(self) -> float:
        """6 xi_c, in layers. / source: arXiv:1611.01232: the depth at which training failed on
        MNIST and CIFAR10."""
        return 6 * self.xi_c.value


def classical(given: Given, sigma_w2: float, sigma_b2: float, q0: float = 1.0) -> Classical:
    """All of the classical theory at one point of the phase diagram.

    Args:
        given: name of an activation, Activation or callable.
        sigma_w2: fan_in times the variance of a weight, >= 0.
        sigma_b2: variance of a bias, >= 0.
        q0: variance of the first preactivations, > 0.

    Returns:
        Numbers with the errors of the expectations, of the fixed points, and of what depends on
        those; where theory ends, `advice` says so.

    Raises:
        InvalidSpec: for arguments that mean nothing.

    Example:
        >>> theory = classical("relu", sigma_w2=2.0, sigma_b2=0.0)
        >>> theory.phase, theory.chi_1.value, theory.xi_c.value
        ('critical', 1.0, inf)

    Source:
        arXiv:1606.05340, arXiv:1611.01232.
    """
    a = activation(given)
    maps.require(sigma_w2=sigma_w2, sigma_b2=sigma_b2)
    if not 0 < q0 < inf:
        raise InvalidSpec(f"q0 must be a finite number above 0, got {q0}")
    try:
        q = q_star(a, sigma_w2, sigma_b2, q0)
        return (
            _at_a_fixed_point(a, sigma_w2, sigma_b2, q)
            if _is_regular(q)
            else _at_an_end(a, sigma_w2, sigma_b2, q)
        )
    except Divergent as reason:
        return _undefined(
            a, sigma_w2, sigma_b2, UNKNOWN, f"an expectation does not exist: {reason}"
        )


def depth_scale(chi: Estimate) -> Estimate:
    """1 / |log|chi||: layers over which what is multiplied by chi changes e-fold; inf at 1, 0 at 0.

    error: what an error in chi makes of it. / source: arXiv:1611.01232, xi_q and xi_c.
    """
    size = abs(chi.value)
    if isnan(size):
        return UNKNOWN
    if abs(size - 1) <= chi.error:
        return Estimate(inf, 0.0)
    scale = _scale(size)
    return Estimate(
        scale, max(abs(_scale(size + e) - scale) for e in (chi.error, -min(chi.error, size)))
    )


def batch_norm_trainable_depth(rate: float) -> float:
    """16 / log(rate), in layers: where a network whose gradient variance grows at that rate ceased
    to train; inf up to rate 1.

    source: arXiv:1902.08129, figure 2.
    """
    return 16 / log(rate) if rate > 1 else inf


def _scale(chi: float) -> float:
    return 0.0 if chi == 0 else inf if chi == 1 else 1 / abs(log(chi))


# ---- the regular case


def _is_regular(q: Estimate) -> bool:
    return 0 < q.value < inf


def _at_a_fixed_point(a: Activation, sigma_w2: float, sigma_b2: float, q: Estimate) -> Classical:
    variance = _at(lambda v: maps.chi_q(a, v, sigma_w2), q)
    gradient = _at(lambda v: maps.chi_1(a, v, sigma_w2), q)
    phase = _phase(gradient)
    if phase == "chaotic":
        c = _at(lambda v: c_star(a, v, sigma_w2, sigma_b2), q)
        slope = _at(lambda v: maps.chi_c(a, c.value, v, sigma_w2), q)
        bend = abs(maps.chi_c(a, c.value * (1 - _NUDGE), q.value, sigma_w2).value - slope.value)
        slope = Estimate(
            slope.value, slope.error + (bend / (_NUDGE * c.value) * c.error if c.value else 0.0)
        )
    else:
        c, slope = Estimate(1.0, 0.0), gradient
    infinite = phase == "critical"
    return Classical(
        a.name,
        sigma_w2,
        sigma_b2,
        q,
        gradient,
        variance,
        c,
        slope,
        depth_scale(variance),
        Estimate(inf, 0.0) if infinite else depth_scale(slope),
        Estimate(inf, 0.0) if infinite else depth_scale(gradient),
        phase,
        _advice_at(q, variance, phase),
    )


def _phase(chi: Estimate) -> str:
    if isnan(chi.value):
        return "undefined"
    if abs(chi.value - 1) <= max(chi.error, CRITICAL):
        return "critical"
    return "ordered" if chi.value < 1 else "chaotic"


def _at(f: Callable[[float], Estimate], q: Estimate) -> Estimate:
    """f at a variance that is known with an error."""
    found = f(q.value)
    if not q.error:
        return found
    step = max(_NUDGE * q.value, min(q.error, q.value))
    return Estimate(
        found.value, found.error + abs(f(q.value + step).value - found.value) / step * q.error
    )


def _advice_at(q: Estimate, variance: Estimate, phase: str) -> str:
    said = []
    if variance.value < -1:
        said.append(
            "the q map falls too steeply at q_star, so the variance swings about it and does not "
            "settle"
        )
    elif not q.error < 0.1 * q.value:
        said.append(
            "the q map runs along the diagonal, so q_star is hardly known; move sigma_w2 or "
            "sigma_b2"
        )
    elif abs(variance.value - 1) <= variance.error:
        said.append(
            "every variance is kept: q_star is the one that was put in, and xi_q is infinite"
        )
    if phase == "critical":
        said.append(
            "critical: xi_c is infinite, correlations approach c_star by a power of depth and "
            "gradients keep their size"
        )
    return "; ".join(said)


# ---- where the variance has no fixed point inside


def _at_an_end(a: Activation, sigma_w2: float, sigma_b2: float, q: Estimate) -> Classical:
    """The signal vanishes, or grows without bound."""
    if q.value and not a.homogeneous:
        why = (
            "the signal grows without bound, so no fixed point and no slope exists; lower sigma_w2"
        )
        return _undefined(a, sigma_w2, sigma_b2, q, why)
    at = 1.0 if a.homogeneous else 0.0
    gradient, variance = maps.chi_1(a, at, sigma_w2), maps.chi_q(a, at, sigma_w2)
    # they are common to all samples
    biases_add_up = q.value == inf and _phase(gradient) == "critical"
    kept = not sigma_w2 or (_is_straight(a, at) and not biases_add_up)
    infinite = Estimate(inf, 0.0)
    return Classical(
        a.name,
        sigma_w2,
        sigma_b2,
        q,
        gradient,
        variance,
        UNKNOWN if kept else Estimate(1.0, 0.0),
        UNKNOWN if kept else Estimate(1.0, 0.0),
        depth_scale(variance),
        UNKNOWN if not sigma_w2 else infinite,
        infinite if _phase(gradient) == "critical" else depth_scale(gradient),
        _phase(gradient),
        _advice_at_an_end(q, sigma_w2, kept),
    )


def _is_straight(a: Activation, q: float) -> bool:
    """Whether uncorrelated signals of that size stay so, as they do where phi is a line through
    0."""
    return abs(maps.c_map(a, 0.0, q, 1.0, 0.0).value) <= _LINEAR


def _advice_at_an_end(q: Estimate, sigma_w2: float, kept: bool) -> str:
    if not sigma_w2:
        return "with sigma_w2 = 0 and sigma_b2 = 0 every layer is 0: correlations do not exist"
    if isinf(q.value):
        said = "the signal grows without bound, so there is no q_star; lower sigma_w2"
    else:
        said = (
            "without biases the signal vanishes with depth: q_star is 0; raise sigma_b2 or sigma_w2"
        )
    if kept:
        return (
            f"{said}; phi is a line there, which keeps every correlation, so there is no "
            "c_star and xi_c is infinite"
        )
    return (
        f"{said}; its direction alone has c_star = 1, approached by a power of depth, so xi_c "
        "is infinite"
    )


def _undefined(
    a: Activation, sigma_w2: float, sigma_b2: float, q: Estimate, advice: str
) -> Classical:
    nothing = UNKNOWN, UNKNOWN, UNKNOWN
    return Classical(
        a.name, sigma_w2, sigma_b2, q, *nothing, UNKNOWN, *nothing, "undefined", advice
    )
