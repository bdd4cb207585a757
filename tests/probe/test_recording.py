"""What a trace says of every operation: its name, its function, its values, what it read, how much
of the run was seen."""

from itertools import count
from math import inf
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import handle_torch_function, has_torch_function

from depthscale._probe import probe
from depthscale.measure import ledger
from probe.checks import kinds, probed


def x(*shape: int) -> Tensor:
    return torch.randn(*(shape or (4, 6)), generator=torch.Generator().manual_seed(1))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.norm = nn.Linear(6, 6), nn.LayerNorm(6)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.fc(self.norm(x)))
        h = h + 1
        return x + h


def blocks(n: int = 2) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(*(Block() for _ in range(n)))


def test_names_are_paths_with_the_function_where_a_module_runs_several() -> None:
    trace = probed(blocks(), x())
    assert [op.name for op in trace.ops] == ["input"] + [
        f"{i}.{what}" for i in (0, 1) for what in ("norm", "fc", "relu", "add", "add#2")
    ]
    assert [op.module for op in trace.ops][1:6] == ["0.norm", "0.fc", "0", "0", "0"]
    assert [op.module_class for op in trace.ops][1:6] == [
        "LayerNorm",
        "Linear",
        "Block",
        "Block",
        "Block",
    ]
    assert [op.id for op in trace.ops] == list(range(11))


def test_what_reads_what() -> None:
    trace = probed(blocks(1), x())
    assert [op.reads for op in trace.ops] == [(), (0,), (1,), (2,), (3,), (0, 4)]
    assert [sorted(e.source for e in op.edges) for op in trace.ops] == [
        [],
        [0],
        [1],
        [2],
        [3],
        [0, 4],
    ]
    assert [op.consumers for op in trace.ops] == [2, 1, 1, 1, 1, 1]


def test_activations_are_those_of_a_plain_run() -> None:
    model, plain = blocks(), []
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.LayerNorm):
            module.register_forward_hook(lambda m, a, out: plain.append(out.detach().double()))
    model(x())
    expected, plain[:] = list(plain), []
    trace = probe(model, x())
    for op, value in zip(
        [op for op in trace.ops if op.op in ("linear", "layer_norm")], expected, strict=True
    ):
        assert op.activation is not None
        assert op.activation.count == value.numel()
        assert op.activation.mean_square() == pytest.approx(float(value.square().mean()), rel=1e-12)
        assert op.activation.max_magnitude() == float(value.abs().max())


def test_weights_and_settings_are_noted() -> None:
    fc = nn.Linear(6, 5)
    model = nn.Sequential(fc, nn.BatchNorm1d(5, eps=0.25), nn.LeakyReLU(0.3), nn.Dropout(0.1))
    trace = probed(model, x())
    (weight, shape, ms), (bias, *_) = trace["0"].weights
    assert (weight, shape, bias) == ("0.weight", (5, 6), "0.bias")
    assert ms == pytest.approx(float(fc.weight.detach().double().square().mean()), rel=1e-5)
    assert trace["1"].settings == {"training": True, "eps": 0.25, "momentum": 0.1}
    assert trace["2"].settings == {"negative_slope": 0.3}
    assert trace["3"].settings == {"p": 0.1, "training": True}


def test_pure_reshapes_have_no_row_and_cuts_do() -> None:
    class Shapes(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            h = (
                x.view(2, 2, 6)
                .transpose(0, 1)
                .reshape(4, 6)
                .contiguous()[None]
                .squeeze(0)
                .flatten()
                .unflatten(0, (4, 6))
                .T.mT
            )
            h = h.permute(1, 0).clone().to(torch.float32).unsqueeze(-1).expand(6, 4, 3)
            return h.select(2, 0)[:, 1:].narrow(0, 1, 2)

    trace = probed(Shapes(), x())
    assert kinds(trace) == ["expand", "select", "getitem", "narrow"]


def test_the_notes_on_modules_tell_blocks_that_repeat() -> None:
    trace = probed(nn.Sequential(*blocks(3), nn.Linear(6, 6)), x())
    structures = {note.path: note.structure for note in trace.graph.modules}
    assert (
        structures["0"] == structures["1"] == structures["2"] == "Block(fc:Linear,norm:LayerNorm)"
    )
    assert [note.module_class for note in trace.graph.modules if "." not in note.path] == [
        "Block",
        "Block",
        "Block",
        "Linear",
    ]


def test_a_trace_is_found_in_by_name() -> None:
    trace = probed(blocks(), x())
    assert trace["1.fc"].op == "linear"
    with pytest.raises(KeyError, match=r"no operation '1\.fd'; the nearest: 1\.fc"):
        trace["1.fd"]
    assert len(trace) == 11
    assert "2 of" not in repr(trace)
    assert repr(trace).startswith(
        "Run(Sequential: 11 operations, 11 with gradient, train mode, loss='independent'"
    )
    assert "1.fc [linear]" in repr(trace["1.fc"])


def test_the_same_seed_is_the_same_trace() -> None:
    a, b, c = (
        probe(blocks(), x(), seed=1),
        probe(blocks(), x(), seed=1),
        probe(blocks(), x(), seed=2),
    )
    assert [op.log2_gradient_norm2 for op in a.ops] == [op.log2_gradient_norm2 for op in b.ops]
    assert a.ops[0].log2_gradient_norm2 != c.ops[0].log2_gradient_norm2


# ---- what is verified, and what is not seen


def test_values_that_are_no_numbers_are_verified_too() -> None:
    class Root(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.sqrt()

    trace = probe(Root(), x(), verify=True)
    assert trace.verified
    assert trace.ops[1].activation is not None
    assert trace.ops[1].activation.nans > 0


def test_a_model_that_is_never_the_same_is_not_verified() -> None:
    """The twin of every `verified` in these tests."""

    ticks = count(1)

    class Clock(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * next(ticks)

    assert probe(Clock(), x(), verify=True).verified is False
    assert probe(blocks(), x()).verified is None


class Hooked(nn.Module):
    def __init__(self, change: Any):
        super().__init__()
        self.fc, self.change = nn.Linear(6, 6), change

    def forward(self, x: Tensor) -> Tensor:
        h = self.fc(x)
        h.register_hook(self.change)
        return h.sin()


@pytest.mark.parametrize(
    "change", [lambda g: g * 2, lambda g: g.mul_(2) and None if g.numel() == 1 else g.mul_(2)]
)
def test_a_hook_that_changes_the_gradient_is_told_and_opens_the_ledger(change: Any) -> None:
    trace = probe(Hooked(change), x(), verify=True)
    assert trace.verified
    (missed,) = trace.coverage.not_seen
    assert missed.op == "linear"
    assert "a hook of the model's own" in missed.why
    assert ledger(trace).closure_error == pytest.approx(2, abs=1e-6)


def test_a_hook_that_only_looks_changes_nothing() -> None:
    probed(Hooked(lambda g: None), x())


class Transformed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        slope = torch.func.grad(lambda y: self.fc(y).sin().sum())(x)
        return slope * torch.func.vmap(lambda row: torch.sin(row) * row)(x)


def test_what_cannot_be_counted_is_told() -> None:
    """Inside a transform tensors stand for others; what comes out of it is an operation as any."""
    trace = probed(Transformed(), x(), explained=True)
    assert trace.coverage.share == 1
    assert {missed.op for missed in trace.coverage.not_seen} == {
        "fc.linear",
        "sin",
        "sum",
        "grad",
        "mul",
    }
    assert all("torch.func transform" in missed.why for missed in trace.coverage.not_seen)


def test_what_runs_inside_a_map_over_samples_is_told() -> None:
    class Mapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(6, 6)

        def forward(self, x: Tensor) -> Tensor:
            return torch.vmap(lambda row: (self.fc(row) * 10 + row).relu())(x)

    trace = probed(Mapped(), x(4, 6), explained=True)
    assert {missed.op for missed in trace.coverage.not_seen} >= {"fc.linear", "mul", "relu"}


class Leaks(nn.Module):
    """A function that torch is told of as one, and whose inside is used outside it."""

    def forward(self, x: Tensor) -> Tensor:
        inside: list[Tensor] = []

        def composite(x: Tensor) -> Tensor:
            if has_torch_function((x,)):
                return handle_torch_function(composite, (x,), x)
            inside.append(x * 2)
            return inside[0].cos()

        return composite(x) * inside[0]


def test_what_leaks_from_inside_an_operation_opens_the_ledger() -> None:
    trace = probe(Leaks(), x(), verify=True)
    assert trace.verified
    (missed,) = trace.coverage.not_seen
    assert (missed.op, missed.why) == (
        "composite",
        "mul reads what was made inside it, which no call returned",
    )
    assert ledger(trace).closure_error == inf


def test_operations_without_gradient_are_still_seen() -> None:
    class Side(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            side = (x * 2).sin()
            with torch.no_grad():
                gate = (x.exp() > 1).float()
            return x * gate + side.detach() * 0

    trace = probed(Side(), x())
    assert [(op.op, op.gradient is not None) for op in trace.ops] == [
        ("input", True),
        ("mul", False),
        ("sin", False),
        ("exp", False),
        ("float", False),
        ("mul", True),
        ("mul", False),
        ("add", True),
    ]
