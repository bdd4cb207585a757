"""A train-mode Batch Norm's backward gain, taken apart, against each path computed on its own in
float64."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depthscale._probe import probe
from depthscale.measure import ledger
from depthscale.run import NormSplit
from probe.checks import probed
from tolerances import RELATIVE


def x(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(1)) * 3 + 1


class Normed(nn.Module):
    """z = BN(y), whose gradient is the cotangent of the loss below."""

    def __init__(self, channels: int, dims: int, eps: float, affine: bool):
        super().__init__()
        torch.manual_seed(0)
        kind = {0: nn.BatchNorm1d, 1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[dims]
        self.norm = kind(channels, eps=eps, affine=affine)
        if affine:
            nn.init.uniform_(self.norm.weight, 0.5, 2)

    def forward(self, y: Tensor) -> Tensor:
        return self.norm(y)


def paths(y: Tensor, g: Tensor, norm: nn.Module) -> tuple[float, float, float]:
    """|g|^2 through z = gamma (y - m) / s with the mean and the variance held, minus each: by
    autograd with parts detached."""
    dims = [d for d in range(y.dim()) if d != 1]
    shape = [1, -1, *[1] * (y.dim() - 2)]
    gamma = (
        norm.weight.detach().double()  # type: ignore[union-attr, operator]
        if norm.weight is not None
        else torch.ones(y.shape[1], dtype=torch.float64)
    )

    def gradient(mean_moves: bool, variance_moves: bool) -> Tensor:
        given = y.detach().double().requires_grad_()
        mean, var = given.mean(dims, keepdim=True), given.var(dims, unbiased=False, keepdim=True)
        mean, var = (
            m if moves else m.detach() for m, moves in ((mean, mean_moves), (var, variance_moves))
        )
        z = gamma.reshape(shape) * (given - mean) / (var + float(norm.eps)).sqrt()  # type: ignore[arg-type]
        return torch.autograd.grad(z, given, g.double())[0]

    straight, without_mean, whole = (
        float(gradient(*moves).square().sum())
        for moves in ((False, False), (True, False), (True, True))
    )
    total = float(g.double().square().sum())
    return straight / total, (straight - without_mean) / total, (without_mean - whole) / total


@pytest.mark.parametrize("eps", [1e-30, 1e-5, 5.0])
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize(
    ("shape", "dims"), [((8, 5), 0), ((4, 5, 6), 1), ((3, 5, 4, 4), 2), ((2, 5, 2, 3, 2), 3)]
)
def test_the_three_terms(shape: tuple[int, ...], dims: int, affine: bool, eps: float) -> None:
    model, y = Normed(5, dims, eps, affine).double(), x(*shape)
    g = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) + 0.5
    trace = probed(model, y, loss=lambda z: (z * g).sum())
    op = trace["norm"]
    assert op.split is not None
    direct, mean_term, variance_term = paths(y, g, model.norm)
    assert op.split.direct == pytest.approx(direct, rel=1e-9)
    assert op.split.mean_term == pytest.approx(mean_term, rel=1e-9)
    assert op.split.variance_term == pytest.approx(variance_term, rel=1e-9)
    gain = 2.0 ** ledger(trace)[op.id].log2_gain_norm2
    assert op.split.direct - op.split.mean_term - op.split.variance_term == pytest.approx(
        gain, rel=1e-9
    )
    sigma2 = y.var([d for d in range(y.dim()) if d != 1], unbiased=False) + eps
    assert op.split.sigma2 == pytest.approx(float(sigma2.mean()), rel=1e-9)
    assert op.split.inverse_sigma2 == pytest.approx(float((1 / sigma2).mean()), rel=1e-9)


@pytest.mark.parametrize("memory", ["plain", "channels last", "half as wide"])
@pytest.mark.parametrize(("shape", "dims"), [((32, 5), 0), ((8, 5, 6), 1), ((4, 5, 6, 6), 2)])
def test_float32_says_what_float64_says_however_memory_lies(
    shape: tuple[int, ...], dims: int, memory: str
) -> None:
    model, y, g = (
        Normed(5, dims, 1e-5, True),
        x(*shape, dtype=torch.float32),
        x(*shape, dtype=torch.float32).roll(1, 0),
    )
    if memory == "channels last":
        y = y.movedim(1, -1).contiguous().movedim(-1, 1)
    elif memory == "half as wide":
        y = torch.cat([y, y], 1)[:, :5]

    def split(kind: torch.dtype) -> NormSplit:
        found = probe(model.to(kind), y.to(kind), loss=lambda z: (z * g.to(kind)).sum())[
            "norm"
        ].split
        assert found is not None
        return found

    narrow, wide = split(torch.float32), split(torch.float64)
    for name in ("direct", "mean_term", "variance_term", "inverse_sigma2", "sigma2"):
        assert getattr(narrow, name) == pytest.approx(
            getattr(wide, name), rel=RELATIVE[torch.float32]
        ), name


def test_it_closes_in_float32_and_behind_a_convolution() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.BatchNorm2d(4)
    )
    trace = probed(model, x(6, 3, 9, 9, dtype=torch.float32))
    account = ledger(trace)
    for name in ("1", "4"):
        op = trace[name]
        assert op.split is not None
        gain = 2.0 ** account[op.id].log2_gain_norm2
        assert op.split.direct - op.split.mean_term - op.split.variance_term == pytest.approx(
            gain, rel=1e-5
        )


def test_a_mean_that_is_the_whole_gradient_takes_it_all() -> None:
    """A cotangent equal for all samples of a channel: nothing is left, and the mean term is the
    direct one."""
    model = Normed(5, 0, 1e-5, True).double()
    trace = probe(model, x(8, 5), loss=lambda z: z.sum())
    split = trace["norm"].split
    assert split is not None
    assert split.mean_term == pytest.approx(split.direct, rel=1e-12)
    assert split.variance_term == pytest.approx(0, abs=1e-12 * split.direct)


def test_only_a_batch_norm_in_train_mode_has_one() -> None:
    model = Normed(5, 0, 1e-5, True).double()
    assert probe(model, x(8, 5), mode="eval")["norm"].split is None
    others = nn.Sequential(nn.LayerNorm(5), nn.GroupNorm(5, 5), nn.Linear(5, 5)).double()
    assert [op.split for op in probe(others, x(8, 5)).ops] == [None] * 4


def test_the_functional_form_has_one_too() -> None:
    class Net(nn.Module):
        def forward(self, y: Tensor) -> Tensor:
            return F.batch_norm(y, None, None, training=True)

    assert probed(Net(), x(8, 5))["batch_norm"].split is not None
