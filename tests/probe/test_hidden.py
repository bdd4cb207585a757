"""What autograd does not see, hands on inside one operation, or makes of parameters alone."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from depthscale._probe import probe
from depthscale.measure import ledger
from probe.checks import CLOSES, kinds, probed


def x() -> Tensor:
    return torch.randn(4, 6, generator=torch.Generator().manual_seed(1))


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.mark_dirty(x)
        return x.mul_(2)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return gradient * 2


def halved(x: Tensor) -> None:
    with torch.no_grad():
        x.mul_(0.5)


def doubled_unseen(x: Tensor) -> None:
    with torch.no_grad():
        Doubled.apply(x)


def masked(x: Tensor) -> None:
    with torch.no_grad():
        x[:, 0] = 0


class Overwritten(nn.Module):
    """Layers whose outputs are written to before the next one reads them."""

    def __init__(self, write: Callable[[Tensor], object]):
        super().__init__()
        torch.manual_seed(0)
        self.layers, self.write = nn.ModuleList(nn.Linear(6, 6) for _ in range(4)), write

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
            self.write(x)
            x = x.tanh()
        return x


@pytest.mark.parametrize("write", [halved, doubled_unseen, masked])
def test_a_write_that_autograd_does_not_see_makes_nothing(write: Callable[..., object]) -> None:
    """The layers keep their gradient, and the account closes; that it was written to is said."""
    trace = probe(Overwritten(write), x())
    assert kinds(trace) == ["linear", "tanh"] * 4
    assert all(op.log2_gradient_norm2 for op in trace.ops)
    assert ledger(trace).closure_error < CLOSES
    assert ["no_grad" in missed.why for missed in trace.coverage.not_seen] == [True] * 4


def test_a_write_of_a_custom_function_is_an_operation() -> None:
    trace = probed(Overwritten(Doubled.apply), x())
    assert kinds(trace) == ["linear", "Doubled", "tanh"] * 4
    assert not trace.coverage.not_seen


class Cells(nn.Module):
    """An LSTM cell, of whose last two outputs the first, the second or both are used."""

    def __init__(self, used: str):
        super().__init__()
        torch.manual_seed(0)
        self.cell, self.used = nn.LSTMCell(6, 6), used

    def forward(self, x: Tensor) -> Tensor:
        state = memory = x
        for _ in range(3):
            state, memory = self.cell(x, (state, memory))
        return {"state": state, "memory": memory, "both": state * memory}[self.used]


@pytest.mark.parametrize("used", ["state", "memory", "both"])
def test_what_one_output_of_an_operation_hands_to_another_stays_inside(used: str) -> None:
    """An LSTM cell's state is made from its memory: an edge from the operation to itself, which is
    none; what comes in is what came from outside."""
    trace = probe(Cells(used), x())
    assert all(edge.source < op.id for op in trace.ops for edge in op.edges)
    account = ledger(trace)
    assert account.closure_error < CLOSES
    assert not account.open

    model, inputs = Cells(used), x()
    state = memory = inputs
    for _ in range(2):
        state, memory = model.cell(inputs, (state, memory))
    state, memory = state.detach().requires_grad_(), memory.detach().requires_grad_()
    last = model.cell(inputs, (state, memory))
    output = {"state": last[0], "memory": last[1], "both": last[0] * last[1]}[used]
    cotangent = torch.randn(output.shape, generator=torch.Generator().manual_seed(0))
    arrived = torch.autograd.grad(output, [state, memory], cotangent)
    norm2 = sum(float(each.double().square().sum()) for each in arrived)
    assert 2 ** trace["cell#2"].log2_gradient_norm2[0] == pytest.approx(norm2, rel=1e-5)


def test_a_weight_made_in_the_forward_pass_is_no_input() -> None:
    """Parameters with a constant mask, or with the identity beside them, remain parameters."""

    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.weights = nn.ParameterList(nn.Parameter(torch.randn(6, 6)) for _ in range(4))

        def forward(self, x: Tensor) -> Tensor:
            for weight in self.weights:
                x = x @ (weight * torch.ones(6, 6).tril()) @ (weight + torch.eye(6))
            return x

    model = Masked()
    trace = probed(model, x())
    assert kinds(trace) == ["matmul"] * 8
    assert [trace.ops[op].op for op, _ in trace.sources] == ["input"]
    ((_, shape, mean_square),) = trace.ops[1].weights
    masked = model.weights[0].detach().double().tril()
    assert (shape, mean_square) == ((6, 6), pytest.approx(float(masked.square().mean()), rel=1e-5))
