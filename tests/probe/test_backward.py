"""The gradients that a probe reports, against autograd asked for each of them by name on a twin
written out by hand."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depthscale._probe import probe
from depthscale.run import Run
from probe.checks import probed


class Tape:
    """Keeps the gradient of every value that is named, and of every path by which a value goes into
    an operation."""

    def __init__(self) -> None:
        self.values: list[Tensor] = []
        self.paths: dict[tuple[int, int], list[Tensor]] = {}
        self.made: dict[int, int] = {}

    def is_op(self, *outputs: Tensor) -> Tensor:
        """The next operation of the trace made these."""
        self.values.append(outputs[0])
        for each in outputs:
            each.retain_grad()
            self.made[id(each)] = len(self.values) - 1
        return outputs[0]

    def into(self, op: int, value: Tensor) -> Tensor:
        """A path of its own from a value into operation number `op`."""
        path = value.view_as(value)
        path.retain_grad()
        self.paths.setdefault((op, self.made[id(value)]), []).append(path)
        return path


def x(*shape: int) -> Tensor:
    return torch.randn(*(shape or (4, 6)), generator=torch.Generator().manual_seed(1))


def fork_model(fc: nn.Linear, x: Tensor) -> Tensor:
    h = fc(x)
    return torch.cat([h.relu() + h.sin(), h * h], 1)


def fork_twin(fc: nn.Linear, x: Tensor, tape: Tape) -> Tensor:
    x = tape.is_op(x.clone())
    h = tape.is_op(fc(tape.into(1, x)))
    r = tape.is_op(tape.into(2, h).relu())
    s = tape.is_op(tape.into(3, h).sin())
    a = tape.is_op(tape.into(4, r) + tape.into(4, s))
    m = tape.is_op(tape.into(5, h) * tape.into(5, h))
    return tape.is_op(torch.cat([tape.into(6, a), tape.into(6, m)], 1))


def in_place_model(fc: nn.Linear, x: Tensor) -> Tensor:
    h = fc(x)
    h += x
    h.mul_(3)
    return fc(F.relu(h, inplace=True))


def in_place_twin(fc: nn.Linear, x: Tensor, tape: Tape) -> Tensor:
    x = tape.is_op(x.clone())
    h = tape.is_op(fc(tape.into(1, x)))
    a = tape.is_op(tape.into(2, h) + tape.into(2, x))
    m = tape.is_op(tape.into(3, a) * 3)
    r = tape.is_op(tape.into(4, m).relu())
    return tape.is_op(fc(tape.into(5, r)))


def residual_model(fc: nn.Linear, x: Tensor) -> Tensor:
    for _ in range(2):
        x = x + F.softmax(fc(F.layer_norm(x, (6,))), -1)
    return x.mean(1)


def residual_twin(fc: nn.Linear, x: Tensor, tape: Tape) -> Tensor:
    x = tape.is_op(x.clone())
    for k in (1, 5):
        n = tape.is_op(F.layer_norm(tape.into(k, x), (6,)))
        h = tape.is_op(fc(tape.into(k + 1, n)))
        s = tape.is_op(F.softmax(tape.into(k + 2, h), -1))
        x = tape.is_op(tape.into(k + 3, x) + tape.into(k + 3, s))
    return tape.is_op(tape.into(9, x).mean(1))


def view_model(fc: nn.Linear, x: Tensor) -> Tensor:
    h = fc(x.view(2, 2, 6).transpose(0, 1)).reshape(4, 6)
    e = h.expand(3, 4, 6)
    return (e.permute(1, 0, 2) * 2).flatten(1)


def view_twin(fc: nn.Linear, x: Tensor, tape: Tape) -> Tensor:
    x = tape.is_op(x.clone())
    h = tape.is_op(fc(tape.into(1, x).view(2, 2, 6).transpose(0, 1)))
    e = tape.is_op(tape.into(2, h).reshape(4, 6).expand(3, 4, 6))
    return tape.is_op(tape.into(3, e).permute(1, 0, 2) * 2).flatten(1)


def norm_model(fc: nn.Linear, x: Tensor) -> Tensor:
    return F.batch_norm(
        fc(F.batch_norm(x, None, None, training=True)), None, None, training=True, eps=0.1
    )


def norm_twin(fc: nn.Linear, x: Tensor, tape: Tape) -> Tensor:
    x = tape.is_op(x.clone())
    n = tape.is_op((y := tape.into(1, x)).sub(y.mean(0)) / (y.var(0, unbiased=False) + 1e-5).sqrt())
    h = tape.is_op(fc(tape.into(2, n)))
    return tape.is_op(
        (y := tape.into(3, h)).sub(y.mean(0)) / (y.var(0, unbiased=False) + 0.1).sqrt()
    )


class Net(nn.Module):
    def __init__(self, run: Callable[[nn.Linear, Tensor], Tensor]):
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.run = nn.Linear(6, 6).double(), run

    def forward(self, x: Tensor) -> Tensor:
        return self.run(self.fc, x)


def weighted(y: Tensor) -> Tensor:
    """A loss whose cotangent at y is known and different everywhere."""
    return (y * torch.arange(1, y.numel() + 1, dtype=y.dtype).reshape(y.shape).sin()).sum()


def norm2(*gradients: Tensor | None) -> float:
    return sum(float(g.square().sum()) for g in gradients if g is not None)


@pytest.mark.parametrize(
    ("model", "twin"),
    [
        (fork_model, fork_twin),
        (in_place_model, in_place_twin),
        (residual_model, residual_twin),
        (view_model, view_twin),
        (norm_model, norm_twin),
    ],
)
def test_every_gradient_and_every_edge(
    model: Callable[[nn.Linear, Tensor], Tensor], twin: Callable[[nn.Linear, Tensor, Tape], Tensor]
) -> None:
    net, tape = Net(model), Tape()
    trace = probed(net, x().double(), loss=weighted)
    weighted(twin(net.fc, x().double().requires_grad_(), tape)).backward()
    ops = [op for op in trace.ops if op.module != "loss"]
    assert len(ops) == len(tape.values)
    for op, value in zip(ops, tape.values, strict=True):
        assert op.gradient is not None
        assert op.gradient.count == value.numel()
        assert 2.0 ** op.log2_gradient_norm2[0] == pytest.approx(norm2(value.grad), rel=1e-9), op
    found = {
        (op.id, s): sum(2.0 ** e.log2_norm2[0] for e in op.edges if e.source == s)
        for op in ops
        for s in set(op.reads)
    }
    expected = {where: norm2(*(path.grad for path in paths)) for where, paths in tape.paths.items()}
    assert found.keys() == expected.keys()
    for where, measured in found.items():
        assert measured == pytest.approx(expected[where], rel=1e-9), where
    assert {(op.id, s) for op in ops for s in op.reads} == set(tape.paths)


def test_a_wrong_gradient_would_be_seen() -> None:
    """The twin: a thousandth more at one operation of the twin, and the comparison fails."""

    def louder(fc: nn.Linear, x: Tensor, tape: Tape) -> Tensor:
        return in_place_twin(fc, x, tape) * 1.001

    with pytest.raises(AssertionError):
        test_every_gradient_and_every_edge(in_place_model, louder)


def test_operations_of_several_outputs_count_them_all() -> None:
    class Cut(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            a, b, c = x.split([1, 2, 3], 1)
            value, _ = torch.cat([a, b * 2], 1).max(1)
            return value + c.sum(1)

    trace = probed(Cut(), x(), loss=weighted)
    split = trace["split"]
    given = x().requires_grad_()
    weighted(Cut()(given)).backward()
    assert (split.size, split.shape) == (24, (4, 1))
    assert split.gradient is not None
    assert split.gradient.count == 24
    assert 2.0 ** split.log2_gradient_norm2[0] == pytest.approx(norm2(given.grad), rel=1e-6)


def test_an_output_without_gradient_counts_as_none() -> None:
    class Half(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            a, _ = x.chunk(2, 1)
            return a * 2

    trace = probed(Half(), x())
    chunk = trace["chunk"]
    assert chunk.gradient is not None
    assert chunk.gradient.count == 12
    assert chunk.edges[0].size == 24


def test_parameters_and_their_gradients_are_those_of_a_plain_run() -> None:
    net = Net(residual_model)
    trace = probed(net, x().double(), loss=weighted, params=True)
    weighted(net(x().double())).backward()
    assert [p.name for p in trace.params] == ["fc.weight", "fc.bias"]
    for found, p in zip(trace.params, net.parameters(), strict=True):
        assert found.gradient is not None
        assert p.grad is not None
        assert found.value is not None
        assert found.value.mean_square() == pytest.approx(
            float(p.detach().square().mean()), rel=1e-12
        )
        assert found.gradient.mean_square() == pytest.approx(
            float(p.grad.square().mean()), rel=1e-9
        )
        assert found.gradient.max_magnitude() == float(p.grad.abs().max())


def trace_of(run: Callable[[nn.Linear, Tensor], Tensor]) -> Run:
    return probed(Net(run), x().double(), loss=weighted)


def test_a_gradient_handed_on_whole_is_counted_once_but_known_twice() -> None:
    """What add hands to both of its readers is the same memory: one count, two edges of equal
    norm."""
    trace = trace_of(residual_model)
    add = next(op for op in trace.ops if op.op == "add")
    assert len(add.edges) == 2
    assert add.edges[0].log2_norm2 == add.edges[1].log2_norm2 == add.log2_gradient_norm2


class Doubles(torch.autograd.Function):
    """A backward that writes into what it is given, and hands that on."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x * 2

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:  # type: ignore[override]
        return g.mul_(2)


def test_a_gradient_that_is_written_to_on_its_way_is_counted_again() -> None:
    trace = trace_of(lambda fc, h: Doubles.apply(fc(h)))
    function = next(op for op in trace.ops if op.op == "Doubles")
    assert trace["fc"].log2_gradient_ms == pytest.approx(function.log2_gradient_ms + 2, abs=1e-9)


def test_a_conjugated_output_has_the_conjugated_gradient() -> None:
    """They share their memory."""

    class Conjugates(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(6, 6)

        def forward(self, x: Tensor) -> Tensor:
            return torch.complex(self.fc(x), x).conj()

    torch.manual_seed(0)
    inner = next(op for op in probe(Conjugates(), x()).ops if op.op == "complex").gradient
    assert inner is not None
    drawn = torch.randn(
        x().shape, generator=torch.Generator().manual_seed(0), dtype=torch.complex64
    )
    assert inner.mean() == pytest.approx(
        float(torch.view_as_real(drawn.conj().resolve_conj()).mean()), rel=1e-5
    )
    assert inner.mean() != pytest.approx(float(torch.view_as_real(drawn).mean()), rel=1e-2)
