"""Growth along the depth of probed networks, against exact rates and against theory."""

from collections.abc import Callable
from math import log, pi

import pytest
import torch
from torch import Tensor, nn

from depthscale._probe import probe
from depthscale.measure import Growth, growth
from depthscale.measure.laws import Factor, Power
from depthscale.measure.wording import growth_in_words
from probe.checks import probed
from tolerances import within


def x(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def stack(
    layers: int, width: int, *parts: Callable[[int], nn.Module], seed: int = 0, gain: float = 2.0
) -> nn.Sequential:
    """Linear layers of weight variance gain / width without bias, each followed by others."""
    torch.manual_seed(seed)
    model = nn.Sequential()
    for _ in range(layers):
        fc = nn.Linear(width, width, bias=False)
        nn.init.normal_(fc.weight, std=(gain / width) ** 0.5)
        model.extend([fc, *(part(width) for part in parts)])
    return model


def relu(width: int) -> nn.Module:
    return nn.ReLU()


def grown(model: nn.Module, inputs: Tensor, **settings: str) -> Growth:
    found = growth(probe(model, inputs), **settings)  # type: ignore[call-overload]
    assert found is not None
    return found


@pytest.mark.parametrize("seed", range(3))
def test_batch_norm_and_relu_explode_at_the_known_rate(seed: int) -> None:
    """source: arXiv:1902.08129: pi / (pi - 1) per layer in mean square, for wide layers and large
    batches."""
    found = grown(stack(20, 128, nn.BatchNorm1d, relu, seed=seed), x(128, 128, seed=seed))
    within(
        log(found.rate), log(pi / (pi - 1)), found.log_stderr, bias=0.02
    )  # width and batch are finite
    assert found.z_score > 3
    assert growth_in_words(found).startswith("explodes x1.2")
    assert found.step == "linear-batch_norm-relu"


def test_a_twin_at_another_rate_is_told_apart() -> None:
    """The twin: without the norm the rate is 1, and the check above would fail by many standard
    errors."""
    found = grown(stack(20, 128, relu), x(128, 128))
    with pytest.raises(AssertionError, match="standard errors from"):
        within(log(found.rate), log(pi / (pi - 1)), found.log_stderr, bias=0.02)


@pytest.mark.parametrize("seed", range(3))
def test_kaiming_is_steady(seed: int) -> None:
    """source: arXiv:1502.01852."""
    found = grown(stack(30, 128, relu, seed=seed), x(64, 128, seed=seed))
    assert abs(found.z_score) < 4
    assert abs(log(found.rate)) < 0.2


@pytest.mark.parametrize("gain", [1.0, 4.0])
def test_a_wrong_gain_shows_in_both_directions(gain: float) -> None:
    """Weights gain / width and ReLU: a factor gain / 2 per layer, forward and backward."""
    model = stack(20, 256, relu, gain=gain)
    for of in ("gradient", "activation"):
        found = grown(model, x(64, 256), of=of)
        within(log(found.rate), log(gain / 2), found.log_stderr, bias=0.02)
        assert growth_in_words(found).split()[0] == ("explodes" if gain > 2 else "vanishes")


class Scaled(nn.Module):
    def __init__(self, width: int, factor: float):
        super().__init__()
        self.fc, self.factor = nn.Linear(width, width, bias=False), factor
        nn.init.orthogonal_(self.fc.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x) * self.factor


def test_a_power_law_is_told_from_a_constant_factor() -> None:
    """Layer k multiplies by ((k + 1) / k)^1.5 in mean square: depth^1.5, exactly; a constant factor
    stays one."""
    torch.manual_seed(0)
    by_power = nn.Sequential(*(Scaled(8, ((k + 1) / k) ** 0.75) for k in range(1, 25)))
    found = grown(by_power, x(16, 8))
    assert isinstance(found.law, Power)
    assert found.law.exponent == pytest.approx(1.5, abs=0.05)
    assert growth_in_words(found) == "grows as depth^1.5 (mean square)"
    torch.manual_seed(0)
    constant = grown(
        nn.Sequential(*(Scaled(8, 1.1 + 0.01 * (-1) ** k) for k in range(24))), x(16, 8)
    )
    assert isinstance(constant.law, Factor)
    assert growth_in_words(constant).startswith("explodes x1.1 per Scaled")


def test_repeats_are_averaged_as_squared_norms() -> None:
    model = stack(6, 32, relu)
    trace = probed(model, x(16, 32), repeats=4)
    found = growth(trace)
    assert found is not None
    ops = [op for op in trace.ops if op.op == "relu"]
    levels = [sum(2.0**level for level in op.log2_gradient_norm2) for op in ops]
    steps = [log(levels[k - 1] / levels[k]) for k in range(1, 5)]
    assert log(found.rate) == pytest.approx(sum(steps) / 4, rel=1e-9)


def test_the_sum_of_the_steps_is_the_change_over_the_bulk() -> None:
    model = stack(9, 32, nn.LayerNorm, relu)
    trace = probe(model, x(16, 32))
    found = growth(trace)
    assert found is not None
    ops = [op for op in trace.ops if op.op == "relu"]
    assert found.change == pytest.approx(
        ops[0].log2_gradient_ms - ops[7].log2_gradient_ms, rel=1e-9
    )
    assert (found.steps, found.first_layer, found.last_layer) == (7, 1, 8)
