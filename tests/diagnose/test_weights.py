"""The advice names the right weights and the right number, however a model writes its layers."""

from collections.abc import Callable
from math import sqrt

import pytest
import torch
from torch import Tensor, nn

import depthscale as ds

WIDTH, DEPTH = 64, 20


class Conv1D(nn.Module):
    """GPT-2's layer: addmm with a weight of [in, out]."""

    def __init__(self, fan_in: int, fan_out: int, std: float):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(fan_in, fan_out) * std)
        self.bias = nn.Parameter(torch.zeros(fan_out))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, x, self.weight)


class Product(Conv1D):
    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight


class Biased(Conv1D):
    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias


class Einsum(Conv1D):
    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("bi,io->bo", x, self.weight)


def linear(fan_in: int, fan_out: int, std: float) -> nn.Module:
    layer = nn.Linear(fan_in, fan_out)
    nn.init.normal_(layer.weight, std=std)
    nn.init.zeros_(layer.bias)
    return layer


Layer = Callable[[int, int, float], nn.Module]


def diagnosis(layer: Layer, sigma_w2: float, phi: Callable[[], nn.Module]) -> ds.Diagnosis:
    torch.manual_seed(0)
    std = sqrt(sigma_w2 / WIDTH)
    layers = [part for _ in range(DEPTH) for part in (layer(WIDTH, WIDTH, std), phi())]
    return ds.diagnose(ds.probe(nn.Sequential(*layers), torch.randn(64, WIDTH)))


def test_a_slope_of_its_own_is_seen() -> None:
    """Var 3.5 and leaky_relu(0.5): slope (1 + 1/4) / 2 = 0.625, factor 2.19, asks for 1.6."""
    (found,) = diagnosis(linear, 3.5, lambda: nn.LeakyReLU(0.5)).matching(("gradient-explodes",))
    assert "slope of 0.625" in found.says
    assert "leaky_relu(0.5) asks for 1.6" in found.says
    assert "variance of 1.6 / fan_in" in found.advice


@pytest.mark.parametrize("layer", [linear, Conv1D, Product, Biased, Einsum])
def test_weights_too_large_get_one_advice_however_the_layer_is_written(layer: Layer) -> None:
    all_found = diagnosis(layer, 4.0, nn.ReLU)
    (found,) = all_found.matching(("gradient-explodes",))
    assert "by the size of the weights" in all_found.verdict
    assert "relu asks for 2" in found.says
    assert (
        f"2 / fan_in, as relu asks for (torch.nn.init.normal_ with std={sqrt(2 / WIDTH):.3g})"
        in (found.advice)
    )


@pytest.mark.parametrize("layer", [linear, Conv1D, Product, Biased, Einsum])
def test_fan_in_is_what_a_layer_reads_whichever_axis_that_is(layer: Layer) -> None:
    torch.manual_seed(0)
    fan_in, fan_out = WIDTH, 3 * WIDTH
    model = layer(fan_in, fan_out, sqrt(4 / fan_in))
    (found,) = (op.map for op in ds.probe(model, torch.randn(8, fan_in)).ops if op.map)
    assert (found.fan_in, found.fan_out) == (fan_in, fan_out)
    assert found.sigma_w2 == pytest.approx(4, rel=5 * sqrt(2 / (fan_in * fan_out)))


def test_hardtanh_is_the_tables_hard_tanh() -> None:
    all_found = diagnosis(linear, 0.3, nn.Hardtanh)
    (found,) = all_found.matching(("gradient-vanishes",))
    assert "by the size of the weights" in all_found.verdict
    assert "phase --activation hard_tanh" in found.advice
