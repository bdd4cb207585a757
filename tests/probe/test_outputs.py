"""What is differentiated: outputs of every form, losses, several cotangents, a scaled loss."""

from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from depthscale._probe import probe
from depthscale.measure import ledger
from depthscale.run import Probed, Run
from probe.checks import kinds, probed


@dataclass
class Answer:
    logits: Tensor
    hidden: list[Tensor]


@dataclass
class Plain:
    count: int
    first: Tensor


Pair = namedtuple("Pair", "a b")


class Net(nn.Module):
    """h = W x, y = tanh h, given back as `form` says."""

    def __init__(self, form: Callable[[Tensor, Tensor], Any] = lambda h, y: y):
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.form = nn.Linear(6, 5, bias=False), form

    def forward(self, x: Tensor) -> Any:
        h = self.fc(x)
        return self.form(h, torch.tanh(h))


def x(*shape: int) -> Tensor:
    return torch.randn(*(shape or (4, 6)), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("form", "name", "op", "beside"),
    [
        (lambda h, y: {"deep": [h, {"y": y}]}, None, "linear", ["deep.1.y"]),
        (lambda h, y: {"deep": [h, {"y": y}]}, "deep.1.y", "tanh", []),
        (lambda h, y: {"hidden": h, "logits": y}, None, "tanh", []),
        (lambda h, y: Answer(y, [h]), None, "tanh", []),
        (lambda h, y: Answer(y, [h]), "hidden.0", "linear", ["logits"]),
        (lambda h, y: Plain(3, y), None, "tanh", []),
        (lambda h, y: Pair(h, y), "b", "tanh", []),
        (lambda h, y: (h.argmax(1), y), None, "tanh", []),
        (lambda h, y: [None, y.detach(), h], None, "linear", []),
        (lambda h, y: y.mean(), None, "mean", []),
        (lambda h, y: (h.sin(), [y, h]), None, "sin", ["1.0"]),
    ],
)
def test_outputs_of_every_form(
    form: Callable[[Tensor, Tensor], Any], name: str | None, op: str, beside: list[str]
) -> None:
    """What is an output, is not differentiated and does not lead to what is, is told by the name
    that output= takes."""
    trace = probed(Net(form), x(), output=name, explained=bool(beside))
    (sink, _), *others = trace.sinks
    assert others == []
    assert trace.ops[sink].op == op
    assert trace.loss == ("output" if op == "mean" else "independent")
    assert [missed.op for missed in trace.coverage.not_seen] == beside
    assert all("output= names another one" in missed.why for missed in trace.coverage.not_seen)
    assert trace.coverage.share == 1


def gradient_at_input(trace: Run) -> float:
    return 2.0 ** trace.ops[0].log2_gradient_norm2[0]


def by_hand(loss: Callable[[Tensor], Tensor]) -> float:
    given = x().requires_grad_()
    loss(Net()(given)).backward()
    assert given.grad is not None
    return float(given.grad.double().square().sum())


def test_a_loss_of_ones_own() -> None:
    trace = probed(Net(), x(), loss=lambda y: (y**2).sum())
    assert gradient_at_input(trace) == pytest.approx(by_hand(lambda y: (y**2).sum()), rel=1e-6)
    assert [op.module for op in trace.ops][-2:] == ["loss", "loss"]
    assert kinds(trace) == ["linear", "tanh", "pow", "sum"]
    assert trace.loss == "callable"


def test_a_model_that_returns_its_loss() -> None:
    trace = probed(Net(lambda h, y: y.exp().sum()), x())
    assert gradient_at_input(trace) == pytest.approx(by_hand(lambda y: y.exp().sum()), rel=1e-6)


def test_independent_and_shared_cotangents() -> None:
    """Independent: each value has its own; shared: every sample the same."""
    generator = torch.Generator().manual_seed(3)
    w = torch.randn(4, 5, generator=generator)
    trace = probed(Net(), x(), seed=3)
    assert gradient_at_input(trace) == pytest.approx(by_hand(lambda y: (y * w).sum()), rel=1e-5)
    shared = torch.randn(5, generator=torch.Generator().manual_seed(3))
    trace = probed(Net(), x(), seed=3, loss="shared")
    assert gradient_at_input(trace) == pytest.approx(
        by_hand(lambda y: (y * shared).sum()), rel=1e-5
    )


def test_repeats_are_what_single_probes_see() -> None:
    trace = probed(Net(), x(), repeats=3, params=True)
    generator = torch.Generator().manual_seed(0)
    cotangents = [torch.randn(4, 5, generator=generator) for _ in range(3)]
    expected = [by_hand(lambda y, w=w: (y * w).sum()) for w in cotangents]
    assert [2.0**level for level in trace.ops[0].log2_gradient_norm2] == pytest.approx(
        expected, rel=1e-5
    )
    assert trace.ops[0].gradient is not None
    assert trace.ops[0].gradient.count == 3 * 24
    assert len(trace.sinks[0][1]) == 3
    assert trace.params[0].gradient is not None
    assert trace.params[0].gradient.count == 3 * 30
    assert ledger(trace).closure_error < 1e-5


@pytest.mark.parametrize("log2_scale", [-30, 16, 40])
def test_a_scaled_loss_is_reported_unscaled(log2_scale: int) -> None:
    plain, scaled = (
        probed(Net(), x(), params=True),
        probed(Net(), x(), params=True, loss_scale=2.0**log2_scale),
    )
    assert isinstance(scaled.origin, Probed)
    assert scaled.origin.loss_scale == 2.0**log2_scale
    for a, b in zip(plain.ops, scaled.ops, strict=True):
        assert a.log2_gradient_norm2 == pytest.approx(b.log2_gradient_norm2, rel=1e-13)
        assert [e.log2_norm2[0] for e in a.edges] == pytest.approx(
            [e.log2_norm2[0] for e in b.edges], rel=1e-13
        )
    assert plain.params[0].gradient is not None
    assert scaled.params[0].gradient is not None
    assert plain.params[0].gradient.rms() == scaled.params[0].gradient.rms()


def test_a_scale_keeps_float16_gradients_from_vanishing() -> None:
    """As GradScaler's does: what underflows without it is seen with it, at its true size."""

    def small(y: Tensor) -> Tensor:
        return (y.float() * 2.0**-28).sum()

    without = probe(Net().half(), x().half(), loss=small)
    with_it = probe(Net().half(), x().half(), loss=small, loss_scale=2.0**16)
    assert without.ops[0].gradient is not None
    assert with_it.ops[0].gradient is not None
    assert without.ops[0].gradient.zeros == 24
    assert with_it.ops[0].gradient.zeros == 0
    assert with_it.ops[0].gradient.rms() < 2.0**-24


def test_one_seed_is_one_cotangent_in_every_number_type() -> None:
    double = probe(nn.Identity(), torch.zeros(64, 8, dtype=torch.float64), seed=3)
    single = probe(nn.Identity(), torch.zeros(64, 8), seed=3)
    assert double.sources[0][1] == pytest.approx(single.sources[0][1], abs=1e-12)
