"""Parameters: values and gradients counted while they are at hand, second moments the same however
they were read."""

import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef

from depthscale._probe import probe
from depthscale._probe.parameters import Parameters
from probe.checks import probed


def mlp() -> nn.Sequential:
    torch.manual_seed(0)
    layers = [part for _ in range(4) for part in (nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU())]
    return nn.Sequential(*layers)


def x(*shape: int) -> Tensor:
    return torch.randn(*(shape or (16, 8)), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("bad", [None, float("nan"), float("inf")])
@pytest.mark.parametrize(
    ("dtype", "rounding"), [(torch.float32, 1e-12), (torch.float64, 1e-12), (torch.bfloat16, 1e-6)]
)
def test_second_moments_are_the_same_with_parameters_as_without(
    dtype: torch.dtype, rounding: float, bad: float | None
) -> None:
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
    assert trace.params[0].value is not None
    assert trace.params[0].value.mean_square() == 1.0


def test_one_that_cannot_be_counted_is_told() -> None:
    model = mlp()
    model.register_parameter(
        "table", nn.Parameter(torch.ones(3, dtype=torch.int8), requires_grad=False)
    )
    trace = probe(model, x(), params=True)
    assert [p.name for p in trace.params if p.value is None] == ["table"]
    assert [(missed.op, "int8" in missed.why) for missed in trace.coverage.not_seen] == [
        ("table", True)
    ]


def test_a_gradient_that_was_counted_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of tensor size is kept: when the next gradient comes, the one before is gone."""
    taken, alive = Parameters._take, []
    before: list[StorageWeakRef] = []

    def watched(self: Parameters, name: str, gradient: Tensor) -> None:
        alive.append(sum(not each.expired() for each in before))
        before.append(StorageWeakRef(gradient.untyped_storage()))
        taken(self, name, gradient)

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


class Inner(torch.autograd.Function):
    """A checkpoint written by hand: its backward computes again and differentiates in a pass of its
    own."""

    @staticmethod
    def forward(ctx: Any, inside: nn.Linear, x: Tensor, weight: Tensor, how: str) -> Tensor:
        ctx.inside, ctx.x, ctx.how = inside, x.detach(), how
        with torch.no_grad():
            return inside(x)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:  # type: ignore[override]
        with torch.enable_grad():
            x = ctx.x.requires_grad_()
            y = ctx.inside(x)
        if ctx.how == "backward":
            torch.autograd.backward([y], [g])
            return None, x.grad, ctx.inside.weight.grad.clone(), None
        gx, gw = torch.autograd.grad(y, [x, ctx.inside.weight], g)
        return None, gx / (gw.norm() if ctx.how == "scaled" else 1), gw, None


class ByHand(nn.Module):
    def __init__(self, how: str):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.how = nn.Linear(8, 8), nn.Linear(8, 8, bias=False), how

    def forward(self, x: Tensor) -> Tensor:
        return Inner.apply(self.b, self.a(x), self.b.weight, self.how)


@pytest.mark.parametrize("verify", [False, True])
@pytest.mark.parametrize("how", ["grad", "scaled"])
def test_a_pass_inside_a_backward_is_neither_counted_nor_changed(how: str, verify: bool) -> None:
    model = ByHand(how)
    plain, trace = (
        probe(model, x(), repeats=2),
        probe(model, x(), repeats=2, params=True, verify=verify),
    )
    assert [op.log2_gradient_norm2 for op in plain.ops] == [
        op.log2_gradient_norm2 for op in trace.ops
    ]
    assert [p.gradient and p.gradient.count for p in trace.params] == [2 * 64, 2 * 8, 2 * 64]
    assert all(p.gradient is not None and not p.gradient.zeros for p in trace.params)


def test_another_threads_gradients_are_left_alone() -> None:
    shared, found = nn.Linear(4, 4), []
    other = nn.Sequential(shared, nn.Linear(4, 1))

    def elsewhere() -> None:
        found.append(
            torch.autograd.grad(other(torch.ones(1, 4)).sum(), shared.weight)[0].abs().sum().item()
        )

    class Waits(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x * 1

        @staticmethod
        def backward(ctx: Any, g: Tensor) -> Tensor:  # type: ignore[override]
            thread = threading.Thread(target=elsewhere)
            thread.start()
            thread.join()
            return g

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.l = shared

        def forward(self, x: Tensor) -> Tensor:
            return Waits.apply(self.l(x))

    trace = probe(Model(), x(3, 4), params=True)
    elsewhere()
    assert found[0] == found[1] > 0
    assert [p.gradient and p.gradient.count for p in trace.params] == [16, 4]


class Odd(nn.Module):
    """A weight beside a linear map, used by `run`."""

    def __init__(self, weight: Tensor, run: Callable[[nn.Module, Tensor], Tensor]):
        super().__init__()
        self.w, self.l, self.run = nn.Parameter(weight), nn.Linear(4, 4), run

    def forward(self, x: Tensor) -> Tensor:
        return self.l(self.run(self, x))


class NoGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        ctx.save_for_backward(w)
        return x @ w

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:  # type: ignore[override]
        return g @ ctx.saved_tensors[0].t(), None


def offloaded(model: nn.Module, x: Tensor) -> Tensor:
    y = F.linear(x, model.w)  # type: ignore[arg-type]
    model.w.data = torch.empty(0)
    return y


@pytest.mark.filterwarnings("ignore:Sparse CSR")
@pytest.mark.parametrize(
    ("weight", "run", "count"),
    [
        (lambda: torch.randn(4, 4), lambda model, x: NoGradient.apply(x, model.w), None),
        (lambda: torch.randn(4, 4), lambda model, x: NoGradient.apply(x, model.w * 2), None),
        (lambda: torch.randn(4, 4), offloaded, 16),
        (lambda: torch.eye(4).to_sparse_csr(), lambda model, x: model.w @ x, 16),
        (
            lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged),
            lambda model, x: x,
            None,
        ),
    ],
    ids=["none", "none further up", "offloaded", "csr", "jagged and unused"],
)
def test_gradients_of_odd_parameters(
    weight: Callable[[], Tensor], run: Callable[..., Tensor], count: int | None
) -> None:
    trace = probe(Odd(weight(), run), x(4, 4), params=True)
    found = next(p for p in trace.params if p.name == "w")
    assert (found.gradient and found.gradient.count) == count


def test_gradients_of_another_type_than_the_parameter() -> None:
    model = nn.Linear(8, 3).bfloat16()
    for p in model.parameters():
        p.grad_dtype = torch.float32
    trace = probe(model, x().bfloat16(), params=True)
    assert [p.gradient and p.gradient.count for p in trace.params] == [24, 3]


def test_parameters_that_are_made_of_others_have_gradients() -> None:
    """As adapted ones of meta-learning: no leaves, whose hooks autograd would not call."""
    model = mlp()
    expected = probe(model, x(), params=True).params
    for module in model:
        for name, p in list(module._parameters.items()):
            module._parameters[name] = p.clone()  # type: ignore[assignment, union-attr]
    for found, other in zip(probe(model, x(), params=True).params, expected, strict=True):
        assert found.gradient is not None
        assert other.gradient is not None
        assert found.gradient.mean_square() == other.gradient.mean_square()
