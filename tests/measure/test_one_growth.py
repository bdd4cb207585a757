"""A described network, its prediction and the same network as a module have one growth."""

from math import log

import pytest
import torch
from torch import Tensor, nn

from depthscale._probe import probe
from depthscale.errors import UnreliableGrowth
from depthscale.measure import Growth, growth
from depthscale.measure.laws import Power
from depthscale.nets import simulate
from depthscale.network.spec import NetSpec, Residual
from depthscale.theory import predict
from tolerances import within

WIDTH, BATCH = 128, 64


class Block(nn.Module):
    """x + W phi(norm(x)), as `Residual("pre")` has it."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.fc = nn.BatchNorm1d(WIDTH, eps=1e-12), nn.Linear(WIDTH, WIDTH, bias=False)
        nn.init.normal_(self.fc.weight, std=(2 / WIDTH) ** 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.fc(torch.relu(self.norm(x)))


def residual(depth: int = 24) -> tuple[nn.Module, Tensor]:
    return nn.Sequential(*(Block() for _ in range(depth))), torch.randn(BATCH, WIDTH)


def plain(depth: int) -> tuple[nn.Module, Tensor]:
    parts = []
    for _ in range(depth):
        fc = nn.Linear(WIDTH, WIDTH, bias=False)
        nn.init.normal_(fc.weight, std=(2 / WIDTH) ** 0.5)
        parts += [fc, nn.BatchNorm1d(WIDTH, eps=1e-12), nn.ReLU()]
    return nn.Sequential(*parts), torch.randn(BATCH, WIDTH)


def test_a_residual_network_grows_by_a_power_of_depth_however_it_is_read() -> None:
    """Each block adds as much variance as the first one took in, so block k changes the gradient by
    a share 1/k: arXiv:1712.08969. The rate per step falls with depth, the exponent does not."""
    spec = NetSpec(depth=24, width=WIDTH, batch=BATCH, norm="batch", residual=Residual("pre"))
    readings = {
        "predicted": growth(predict(spec)),
        "simulated": growth(simulate(spec, seeds=8)),
        "probed": growth(probe(residual, repeats=8)),
    }
    laws = {name: found.law for name, found in readings.items()}
    exponents = [law.exponent for law in laws.values() if isinstance(law, Power)]
    assert len(exponents) == 3, laws
    assert max(exponents) - min(exponents) < 0.15
    deeper = growth(predict(NetSpec(**{**vars(spec), "depth": 96})))
    assert log(deeper.rate) < log(readings["predicted"].rate) / 2
    assert isinstance(deeper.law, Power)
    assert deeper.law.exponent == pytest.approx(exponents[0], abs=0.02)


def test_one_step_of_one_network_is_refused_alike() -> None:
    spec = NetSpec(depth=3, width=WIDTH, batch=BATCH, norm="batch")
    torch.manual_seed(0)
    for run in (simulate(spec, seeds=1), probe(*plain(3))):
        with pytest.raises(UnreliableGrowth, match="leave 1 whole step of depth") as refusal:
            growth(run)
        assert refusal.value.estimate is not None
        assert refusal.value.needed.endswith("or 2 networks")


@pytest.mark.parametrize("depth", [4, 6])
def test_few_layers_of_one_network_are_read_alike(depth: int) -> None:
    """By the same rule, over as many steps, with as many degrees of freedom; and both rates are
    theory's."""
    spec = NetSpec(depth=depth, width=WIDTH, batch=BATCH, norm="batch")
    torch.manual_seed(0)
    readings: list[Growth] = [growth(simulate(spec, seeds=1)), growth(probe(*plain(depth)))]
    assert readings[0].steps == readings[1].steps == depth - 2
    assert readings[0].degrees == readings[1].degrees == readings[0].steps - 1
    expected = log(growth(predict(spec)).rate)
    for found in readings:
        within(log(found.rate), expected, found.log_stderr, k=8, bias=0.02)
