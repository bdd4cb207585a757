"""Finite width: by how much one network's gradient departs from the mean, to leading order in 1 /
width.

Through a layer the log of the gradient's mean square over a batch takes a random step. Its variance
is the mean over pairs of samples of the relative covariance of their squared gradients: 2 ru^2 from
the weights, ru the correlation of the gradients at the preactivation, and (1 + 2 r^2)(k - 1) from
which neurons are on, r their correlation above the activation and k = E phi'(u)^2 phi'(v)^2 / (E
phi'^2)^2; all over the width. For one sample this is (3 k - 1) / width: 5 / N for ReLU and 2 / N
for linear, as Hanin & Nica have it (arXiv:1812.05994). The mean of the log lies half the variance
below the log of the mean. Where phi is homogeneous nothing else fluctuates to this order; for other
activations the signal's own fluctuations add to it.
"""

import numpy as np

from depthscale.network import Elementwise, Graph, Linear, activation
from depthscale.numerics import leaky
from depthscale.run import Array
from depthscale.theory.moments.backward import BackwardMoments
from depthscale.theory.moments.forward import ForwardMoments


def log_variance(
    graph: Graph, moments: list[ForwardMoments], gradients: list[BackwardMoments]
) -> Array | None:
    """Variance over networks of log(mean square of dE/dx_l / mean square of dE/dx_L). / returns:
    [layers], 0 at the last.

    None where the law does not hold: for other operations than linear maps with free rows and
    homogeneous activations.
    error: relative O(depth / width), and that of the expectations. / source: derived here, as the
    module says.
    """
    steps = [0.0]
    for i in range(len(graph.ops) - 1, 0, -1):
        what = graph.ops[i].what
        if isinstance(what, Elementwise) and activation(what.activation).homogeneous:
            above, below, u = gradients[i], gradients[i - 1], moments[i - 1]
            linear = graph.ops[i - 1].what
            if not isinstance(linear, Linear):
                return None
            one = _covariance(what.activation, 1.0, 1.0, 1.0)
            two = _covariance(
                what.activation,
                above.sample_correlation,
                below.sample_correlation,
                u.sample_correlation,
            )
            steps.append((one / graph.samples + (1 - 1 / graph.samples) * two) / linear.fan_in)
        elif not (
            isinstance(what, Linear) and what.rows == "free" and what.weights != "orthogonal"
        ):
            return None
    return np.cumsum(steps)[::-1]


def _covariance(name: str, ratio: float, ratio_below: float, correlation: float) -> float:
    """Of two samples' squared gradients, relative to their means, through one layer, times the
    width."""
    return 2 * ratio_below**2 + (1 + 2 * ratio**2) * (_both_on(name, correlation) - 1)


def _both_on(name: str, correlation: float) -> float:
    """k = E phi'(u)^2 phi'(v)^2 / (E phi'^2)^2, closed: phi'^2 has one value on each side of
    0."""
    below, above = activation(name).derivative(np.array([-1.0, 1.0])) ** 2
    both_above = float(leaky(0.0).slopes(1.0, min(1.0, max(-1.0, correlation))))
    return (below * above + (above - below) ** 2 * both_above) / ((below + above) / 2) ** 2
