"""Rates by their law and by the paths that they lie on."""

from math import exp

import pytest
import torch
from torch import Tensor, nn

from depthscale import Run, diagnose, growth, probe
from depthscale.measure.laws import SuperExponential


class Scaled(nn.Module):
    """An orthogonal map times a number: it multiplies the mean square by its square."""

    def __init__(self, factor: float):
        super().__init__()
        self.fc, self.factor = nn.Linear(16, 16, bias=False), factor
        nn.init.orthogonal_(self.fc.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x) * self.factor


class Aside(nn.Module):
    """Blocks beside a skip over all of them, and a head of some width."""

    def __init__(self, factor: float, width: int) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(16, 16), nn.Linear(16, width)
        self.blocks = nn.Sequential(*(Scaled(factor) for _ in range(10)))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head(x + self.blocks(x))


def measured(model: nn.Module) -> Run:
    torch.manual_seed(0)
    return probe(model, torch.randn(32, 16))


@pytest.mark.parametrize(
    ("factor", "width", "rule", "severity"),
    [
        (2.0, 16, "gradient-explodes", "warn"),
        (0.5, 400, "gradient-shrinks", "info"),
        (0.5, 16, "gradient-vanishes", "warn"),
    ],
)
def test_what_vanishes_beside_a_skip_is_a_remark_where_most_weights_lie_elsewhere(
    factor: float, width: int, rule: str, severity: str
) -> None:
    """The sum takes on what a branch blows up; what a branch loses, the skip still carries, unless
    the branch is nearly all of the network."""
    (found,) = diagnose(measured(Aside(factor, width))).matching((rule,))
    assert found.severity == severity
    assert found.evidence["rate"] == pytest.approx(factor**2, rel=1e-4)


def test_factors_that_grow_with_depth_explode_faster_than_exponentially() -> None:
    """Layer k multiplies the mean square by exp(0.04 1.5^k)."""
    layers = [Scaled(exp(0.02 * 1.5**k)) for k in range(12)]
    trace = measured(nn.Sequential(*layers))
    law = growth(trace).law
    assert isinstance(law, SuperExponential)
    assert law.ratio == pytest.approx(1.5)
    assert law.last == pytest.approx(0.04 * 1.5**10, rel=1e-3)
    (found,) = diagnose(trace).matching(("gradient-explodes",))
    assert found.severity == "warn"
    assert "faster than exponentially" in found.says
    assert found.evidence["law"] == "super-exponential"
