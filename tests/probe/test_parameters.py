"""Parameters: values and gradients counted while they are at hand, second moments the same however they were read."""

import gc
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef

from depthscale.probe import probe
from depthscale.probe.parameters import Parameters
from probe.checks import probed


def mlp() -> nn.Sequential:
    torch.manual_seed(0)
    layers = [part for _ in range(4) for part in (nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU())]
    return nn.Sequential(*layers)


def x(*shape: int) -> Tensor:
    return torch.randn(*(shape or (16, 8)), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("bad", [None, float("nan"), float("inf")])
@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float32, 1e-12), (torch.float64, 1e-12), (torch.bfloat16, 1e-6)])
def test_second_moments_are_the_same_with_parameters_as_without(dtype: torch.dtype, rounding: float, bad: float | None) -> None:
    """They are summed in float64, those of a half-precision type in float32."""
    model = mlp().to(dtype)
    if bad is not None:
        model[3].weight.data[2, 3] = bad  # type: ignore[union-attr, index, operator]
    without, with_them = (probe(model, x().to(dtype), params=params) for params in (False, True))
    for a, b in zip(without.ops, with_them.ops, strict=True):
        for (name, shape, ms), (other, its_shape, its_ms) in zip(a.weights, b.weights, strict=True):
            assert (name, shape) == (other, its_shape)
            assert its_ms == pytest.approx(ms, rel=rounding, nan_ok=True)


def test_a_parameter_that_is_written_to_on_the_way_is_counted_as_it_stands_at_each_use() -> None:
    class Shrinks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.full((8, 8), 2.0))

        def forward(self, x: Tensor) -> Tensor:
            first = x + self.weight
            with torch.no_grad():
                self.weight.mul_(0.5)
            return F.linear(first, self.weight)

    trace = probed(Shrinks(), x(8, 8), params=True)
    assert [trace[name].weights[0][2] for name in ("add", "linear")] == [4.0, 1.0]
    assert trace.params[0].value.mean_square() == 1.0


def test_one_that_cannot_be_counted_is_told() -> None:
    model = mlp()
    model.register_parameter("table", nn.Parameter(torch.ones(3, dtype=torch.int8), requires_grad=False))
    trace = probe(model, x(), params=True)
    assert len(trace.params) == 16
    assert [(missed.op, "int8" in missed.why) for missed in trace.coverage.not_seen] == [("table", True)]


def test_a_gradient_that_was_counted_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of tensor size is kept: when the next gradient comes, the one before is gone."""
    taken, alive = Parameters._take, []
    before: list[StorageWeakRef] = []

    def watched(self: Parameters, name: str, nothing: Tensor, gradient: Tensor) -> Any:
        alive.append(sum(not each.expired() for each in before))
        before.append(StorageWeakRef(gradient.untyped_storage()))
        return taken(self, name, nothing, gradient)

    monkeypatch.setattr(Parameters, "_take", watched)
    gc.disable()
    try:
        probe(mlp(), x(), params=True)
    finally:
        gc.enable()
    assert len(alive) == 16
    assert max(alive) <= 2  # a Batch Norm's two come together, after the bias above them


def test_the_user_s_hooks_on_parameters_do_not_run_and_are_there_again() -> None:
    model, fired = mlp(), []
    handle = model[0].weight.register_hook(lambda g: fired.append(g))  # type: ignore[union-attr, operator]
    hooks = model[0].weight._backward_hooks
    probe(model, x(), params=True, repeats=2)
    assert not fired
    assert model[0].weight._backward_hooks is hooks
    handle.remove()
    assert all(not p._backward_hooks for p in model.parameters())
