"""probe(norms=True): the numbers of every norm and every activation, against the same run written
out in float64."""

from math import prod
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

import depthscale as ds
from depthscale import store
from depthscale.run import Run, Slopes, Terms


class Around(nn.Module):
    """A norm with gain and shift, read by two others, with its input and output kept for a look at
    their gradients."""

    def __init__(self, norm: nn.Module):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 6, 3), norm
        for p in norm.parameters():
            nn.init.normal_(p, 1.0, 0.5)

    def forward(self, x: Tensor) -> Tensor:
        self.y = 2 * self.conv(x) + 1
        self.out = self.norm(self.y)
        return torch.relu(self.out).sin() + self.out.sigmoid()


NORMS = {
    "batch": (lambda: nn.BatchNorm2d(6), (0, 2, 3), (1, 6, 1, 1)),
    "layer": (lambda: nn.LayerNorm([5, 5]), (2, 3), (1, 1, 5, 5)),
    "group": (lambda: nn.GroupNorm(1, 6), (1, 2, 3), (1, 6, 1, 1)),
    "instance": (lambda: nn.InstanceNorm2d(6, affine=True), (2, 3), (1, 6, 1, 1)),
    "rms": (lambda: nn.RMSNorm([5, 5], eps=1e-5), (2, 3), (1, 1, 5, 5)),
    "functional batch": (lambda: Functional(), (0, 2, 3), (1, 6, 1, 1)),
}


class Functional(nn.Module):
    """Batch Norm by torch's own function, whose arguments stand in another order."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(6)), nn.Parameter(torch.ones(6))

    def forward(self, y: Tensor) -> Tensor:
        return torch.batch_norm(y, self.weight, self.bias, None, None, True, 0.1, 1e-5, False)


def probed(kind: str) -> tuple[Run, Around, Tensor]:
    torch.manual_seed(1)
    model, x = Around(NORMS[kind][0]()).double(), torch.randn(4, 3, 7, 7, dtype=torch.float64)
    return ds.probe(model, x, norms=True, verify=True), model, x


@pytest.mark.parametrize("kind", NORMS)
def test_a_norms_terms_are_those_of_retained_gradients(kind: str) -> None:
    trace, model, x = probed(kind)
    (op,) = [op for op in trace.ops if op.terms]
    (found,) = op.terms
    _, dims, shape = NORMS[kind]
    out = model(x)
    for each in (model.y, model.out):
        each.retain_grad()
    out.backward(torch.randn(out.shape, generator=torch.Generator().manual_seed(0)).double())
    y, at_y, at_out = model.y.detach(), model.y.grad, model.out.grad
    assert at_y is not None
    assert at_out is not None
    g = at_out * model.norm.weight.detach().reshape(shape)  # pyright: ignore[reportCallIssue, reportArgumentType]
    mu = torch.zeros(()) if kind == "rms" else y.mean(dims, keepdim=True)
    variance = (y - mu).square().mean(dims, keepdim=True) + 1e-5
    sigma, total = variance.sqrt(), g.square().sum()
    through_mean = float(
        (_below(y, g, dims, live="mean", rms=kind == "rms") * sigma - g).square().sum() / total
    )
    kept = float((sigma * at_y).square().sum() / total)
    expected = Terms(
        through_mean=through_mean,
        through_sigma=1 - through_mean - kept,
        rest=0.0,
        variance=float(variance.mean()),
        spread=float(variance.var(correction=0) / variance.mean() ** 2),
        inverse=float((1 / variance).mean()),
        along_z=float(
            torch.corrcoef(torch.stack([((y - mu) / sigma).flatten(), g.flatten()]))[0, 1]
        ),
        direct=float((g / sigma).square().sum() / total),
        gain=float(at_y.square().sum() / total),
        scale=float(total / at_out.square().sum()),
    )
    for name in Terms.__dataclass_fields__:
        assert getattr(found, name) == pytest.approx(
            getattr(expected, name), rel=1e-9, abs=1e-12
        ), name
    assert abs(found.scale - 1) > 0.01
    assert trace.verified


def _below(y: Tensor, g: Tensor, dims: tuple[int, ...], *, live: str, rms: bool) -> Tensor:
    """dE/dy by autograd where the statistics are constants, but for the mean."""
    y = y.clone().requires_grad_()
    mu = torch.zeros(()) if rms else y.mean(dims, keepdim=True)
    sigma = ((y - mu).square().mean(dims, keepdim=True) + 1e-5).sqrt().detach()
    assert live == "mean"
    return torch.autograd.grad((y - mu) / sigma, y, g)[0]


ACTIVATIONS = {
    "relu": torch.relu,
    "relu in place": lambda z: F.relu(z.clone(), inplace=True),
    "gelu": F.gelu,
    "leaky_relu": F.leaky_relu,
    "tanh": torch.tanh,
    "silu": F.silu,
    "hardtanh": F.hardtanh,
}


class Pooled(nn.Module):
    """An activation under a pool, which leaves three of four gradients at exactly 0."""

    def __init__(self, name: str):
        super().__init__()
        self.phi = ACTIVATIONS[name]

    def forward(self, z: Tensor) -> Tensor:
        self.z = 1.0 * z
        self.x = 1.0 * self.phi(self.z)
        return F.max_pool2d(self.x, 2)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activations_slopes_are_autograds_where_no_gradient_arrives_too(name: str) -> None:
    model, z = Pooled(name), torch.randn(4, 3, 8, 8, dtype=torch.float64)
    (found,) = next(op.slopes for op in ds.probe(model, z, norms=True).ops if op.slopes)
    z.requires_grad_()
    out = model(z)
    model.x.retain_grad()
    out.backward(torch.randn(out.shape, generator=torch.Generator().manual_seed(0)).double())
    at_x = model.x.grad
    assert at_x is not None
    assert float((at_x == 0).double().mean()) >= 0.75
    u = z.detach().clone().requires_grad_()
    squares = torch.autograd.grad(model.phi(u).sum(), u)[0].square().flatten()
    assert found.mean_square == pytest.approx(float(squares.mean()), rel=1e-12)
    r = torch.corrcoef(torch.stack([squares, at_x.square().flatten()]))[0, 1]
    assert found.correlation == pytest.approx(float(r), rel=1e-9)


def network(eps: float = 1e-5) -> nn.Module:
    torch.manual_seed(0)
    inner = (nn.BatchNorm1d(16, eps=eps), nn.ReLU(inplace=True), nn.Linear(16, 16))
    return nn.Sequential(nn.Linear(16, 16), *inner, nn.LayerNorm(16), nn.PReLU())


def test_the_model_is_left_as_it_was_and_runs_as_it_would() -> None:
    model, x = network(), torch.randn(8, 16)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    trace = ds.probe(model, x, norms=True, params=True, verify=True)
    assert trace.verified
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None and not p._backward_hooks for p in model.parameters())
    plain = ds.probe(model, x, params=True)
    assert [op.log2_gradient_norm2 for op in plain.ops] == [
        op.log2_gradient_norm2 for op in trace.ops
    ]
    assert not any(op.terms or op.slopes for op in plain.ops)


def test_one_record_for_each_repeat() -> None:
    trace = ds.probe(network(), torch.randn(8, 16), norms=True, repeats=3)
    counts = {op.op: (len(op.terms), len(op.slopes)) for op in trace.ops}
    assert counts["batch_norm"] == counts["layer_norm"] == (3, 0)
    assert counts["relu"] == counts["prelu"] == (0, 3)
    (batch_norm,) = [op for op in trace.ops if op.op == "batch_norm"]
    assert len({each.variance for each in batch_norm.terms}) == 1
    assert len({each.gain for each in batch_norm.terms}) == 3


def test_a_norm_inside_a_checkpoint_has_its_terms() -> None:
    class Checkpointed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inside = network()

        def forward(self, x: Tensor) -> Tensor:
            return checkpoint(self.inside, x, use_reentrant=False)  # pyright: ignore[reportReturnType]

    x = torch.randn(8, 16, generator=torch.Generator().manual_seed(3))
    plain = ds.probe(network(), x, norms=True)
    trace = ds.probe(Checkpointed(), x, norms=True, verify=True)
    assert trace.verified
    assert [op.terms for op in trace.ops] == [op.terms for op in plain.ops]


def test_terms_and_slopes_come_back_from_a_file(tmp_path: Path) -> None:
    trace = ds.probe(network(), torch.randn(8, 16), norms=True)
    store.save(trace, tmp_path / "trace.json")
    again = store.load(tmp_path / "trace.json")
    assert isinstance(again, Run)
    assert again.has_terms
    assert [op.terms for op in again.ops] == [op.terms for op in trace.ops]
    assert [op.slopes for op in again.ops] == [op.slopes for op in trace.ops]
    assert any(isinstance(each, Slopes) for op in again.ops for each in op.slopes)
    assert str(ds.explain(again)) == str(ds.explain(trace))
    assert prod(len(op.terms) for op in trace.ops if op.terms) == 1
