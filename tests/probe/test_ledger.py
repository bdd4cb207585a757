"""The ledger closes exactly, and opens when anything is kept from it."""

from collections.abc import Callable
from dataclasses import replace
from math import isinf, log2
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from depthscale._diagnose import diagnose
from depthscale._probe import probe, recorder
from depthscale._probe.call_records import Invocation
from depthscale._probe.calls import TorchFunction
from depthscale.errors import UnreliableGrowth
from depthscale.measure import ledger
from depthscale.run import Run
from probe.checks import CLOSES, probed, state

CLOSED = 1e-12  # log2: rounding of a sum in float64


def x(*shape: int) -> Tensor:
    return torch.randn(*(shape or (8, 6)), generator=torch.Generator().manual_seed(1))


class Block(nn.Module):
    def __init__(self, width: int = 6):
        super().__init__()
        self.norm, self.up, self.down = (
            nn.LayerNorm(width),
            nn.Linear(width, 9),
            nn.Linear(9, width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(torch.nn.functional.gelu(self.up(self.norm(x))) * 1.5)


def residual(blocks: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 6), *(Block() for _ in range(blocks)), nn.Linear(6, 2))


def plain(layers: int = 4) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        *(m for _ in range(layers) for m in (nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Tanh()))
    )


@pytest.mark.parametrize("make", [plain, residual])
def test_it_closes_and_its_parts_add_up(make: Callable[[], nn.Module]) -> None:
    trace = probed(make(), x(), repeats=2)
    account = ledger(trace)
    assert account.closure_error < CLOSED
    assert sum(entry.contribution for entry in account.entries) == pytest.approx(
        account.total_log2_norm2, abs=1e-9
    )
    for grouped in (account.by_kind, account.by_class):
        assert sum(value for _, value in grouped) == pytest.approx(
            account.total_log2_norm2, abs=1e-9
        )
    assert sum(stage.log2_gain_norm2 for stage in account.stages) == pytest.approx(
        account.total_log2_norm2, abs=1e-9
    )


def test_a_chains_gains_multiply_up_to_the_total() -> None:
    trace = probed(plain(), x())
    account = ledger(trace)
    assert sum(entry.log2_gain_norm2 for entry in account.entries) == pytest.approx(
        account.total_log2_norm2, abs=1e-9
    )
    for entry in account.entries:
        assert entry.contribution == pytest.approx(entry.log2_gain_norm2, abs=1e-9)
        assert entry.share == pytest.approx(1)


def test_the_total_is_what_a_plain_run_measures() -> None:
    model = residual().double()
    w = torch.randn(8, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    account = ledger(probe(model, x().double(), loss=lambda y: (y * w).sum()))
    given = x().double().requires_grad_()
    (model(given) * w).sum().backward()
    assert given.grad is not None
    assert account.total_log2_norm2 == pytest.approx(
        log2(float(given.grad.square().sum())), abs=1e-9
    )


def test_by_kind_names_who_did_it() -> None:
    """Weights twice as large: 4 in squared norm for each of 3 linear layers, and for nobody
    else."""

    class Halves(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(6, 6, bias=False)
            self.fc.weight.data.copy_(2 * torch.eye(6))

        def forward(self, x: Tensor) -> Tensor:
            for _ in range(3):
                x = self.fc(x) * 0.25
            return x

    account = ledger(probe(Halves(), x()))
    assert dict(account.by_kind) == pytest.approx({"linear": 6, "mul": -12, "input": 0})
    assert dict(account.by_class) == pytest.approx({"Linear": 6, "Halves": -12, "input": 0})


def test_resize_tells_norms_from_mean_squares() -> None:
    class Narrow(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x[:, :3] * 2

    trace = probed(Narrow(), x())
    entry = ledger(trace)[1]
    assert (entry.log2_gain_norm2, entry.resize, entry.log2_gain_ms) == pytest.approx((0, 1, -1))


@pytest.mark.parametrize("scale", [1.0, -0.5, 2.0, -1.0 + 1e-3])
def test_a_forks_cross_term_is_known(scale: float) -> None:
    """y = h + a h: |(1 + a) g|^2 against |g|^2 + |a g|^2."""

    class Fork(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            h = x * 3
            return h + h * scale

    trace = probed(Fork(), x().double())
    account = ledger(trace)
    assert account[1].log2_join == pytest.approx(log2((1 + scale) ** 2 / (1 + scale**2)), abs=1e-9)
    assert account.total_log2_norm2 == pytest.approx(log2(9 * (1 + scale) ** 2), abs=1e-9)
    assert account.closure_error < CLOSED


def test_independent_paths_share_out_what_reaches_the_sources() -> None:
    class Two(nn.Module):
        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            return torch.cat([a * 3, b * 4], 0)

    account = ledger(probed(Two(), (x(), x())))
    trace = probe(Two(), (x(100, 6), x(100, 6)))
    found = ledger(trace)
    ms = {trace.ops[i].name: 2.0 ** trace.ops[i].log2_gradient_norm2[0] for i, _ in trace.sources}
    assert found[2].share == pytest.approx(ms["input.0"] / sum(ms.values()))
    assert sum(found[i].share for i in (2, 3)) == pytest.approx(1)
    assert account.closure_error < CLOSED


# ---- twins: what must open it


def hiding(monkeypatch: pytest.MonkeyPatch, model: nn.Module, hidden: int) -> tuple[Run, str]:
    """A trace in which operation number `hidden` (inputs not counted) was taken for a pure
    reshape."""
    seen: list[str] = []
    saw = recorder.hands_on

    def mistaken(function: TorchFunction, output: Tensor, given: list[Tensor]) -> bool:
        if saw(function, output, given):
            return True
        seen.append(function.name)
        return len(seen) == hidden

    with monkeypatch.context() as patched:
        patched.setattr(recorder, "hands_on", mistaken)
        return probe(model, x()), seen[hidden - 1]


@pytest.mark.parametrize("make", [plain, residual])
def test_an_operation_that_is_hidden_opens_it(
    monkeypatch: pytest.MonkeyPatch, make: Callable[[], nn.Module]
) -> None:
    """Every operation in turn; those of gain 1 or of several inputs aside."""
    model = make()
    whole = probe(model, x())
    account = ledger(whole)
    ops = [op for op in whole.ops if op.op != "input"]
    hidden = [
        k
        for k, op in enumerate(ops[:-1], 1)
        if len(op.reads) == 1 and abs(account[op.id].log2_gain_norm2) > 0.01
    ]
    assert len(hidden) > 8
    for k in hidden:
        trace, name = hiding(monkeypatch, model, k)
        assert name == ops[k - 1].op
        assert len(trace) == len(whole) - 1
        assert ledger(trace).closure_error > CLOSES, f"{ops[k - 1].name} was hidden"


def without_edge(trace: Run, number: int, k: int) -> Run:
    """A run that has not seen the k-th edge of one of its operations."""
    graph, readings = trace.graph, trace.readings
    ops, at = list(graph.ops), graph.first_edges[number] + k
    call = ops[number].call
    assert call is not None
    paths = (*call.paths[:k], *call.paths[k + 1 :])
    ops[number] = replace(ops[number], call=replace(call, paths=paths))
    fewer = replace(
        readings,
        log2_edge_norm2=np.delete(readings.log2_edge_norm2, at, axis=1),
        edge_sizes=np.delete(readings.edge_sizes, at),
    )
    return replace(trace, graph=replace(graph, ops=tuple(ops)), readings=fewer)


def test_an_edge_that_is_dropped_opens_it() -> None:
    """Every edge in turn, in a network that forks."""
    trace = probe(residual(), x())
    dropped = 0
    for number, op in enumerate(trace.ops):
        for k in range(len(op.edges)):
            assert ledger(without_edge(trace, number, k)).closure_error > CLOSES
            dropped += 1
    assert dropped > 20


def test_a_gradient_measured_wrongly_opens_it() -> None:
    trace = probe(plain(), x())
    norms = trace.readings.log2_gradient_norm2.copy()
    norms[:, 5] += 1e-3
    wrong = replace(trace, readings=replace(trace.readings, log2_gradient_norm2=norms))
    assert ledger(wrong).closure_error == pytest.approx(1e-3, rel=1e-6)


def test_an_operation_that_no_call_announces_is_found_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The recorder ignores tanh; autograd's graph does not."""
    saw = recorder.Recorder._saw

    def ignoring(self: recorder.Recorder, ran: Invocation, outputs: list[Tensor]) -> None:
        if ran.function.name != "tanh":
            saw(self, ran, outputs)

    whole = probe(plain(), x())
    monkeypatch.setattr(recorder.Recorder, "_saw", ignoring)
    trace = probe(plain(), x())
    assert [op.name for op in trace.ops if op.op == "Tanh"] == [
        op.name for op in whole.ops if op.op == "tanh"
    ]
    assert [op.log2_gradient_norm2 for op in trace.ops] == [
        op.log2_gradient_norm2 for op in whole.ops
    ]
    assert ledger(trace).closure_error < CLOSED


# ---- what keeps it open is said


class Forked(nn.Module):
    """Two readers of one output, and a hook of the model's own that multiplies what comes back by
    some factor."""

    def __init__(self, factor: float):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last, self.factor = nn.Linear(6, 6), nn.Linear(6, 6), factor

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        if h.requires_grad and self.factor:
            h.register_hook(lambda gradient: gradient * self.factor)
        return self.last(torch.tanh(h) + torch.sin(h))


def test_a_sum_of_two_edges_is_at_most_twice_the_sum_of_their_squares() -> None:
    """Cauchy and Schwarz: tanh and sin nearly agree, so their join is nearly log2 2; with a hook
    that doubles it is past that."""
    plain = ledger(probe(Forked(0.0), x()))
    joins = [entry.log2_join for entry in plain.entries if entry.log2_join is not None]
    assert joins == [pytest.approx(1.0, abs=0.1)]
    assert max(joins) <= 1.0
    assert plain.open == ()
    altered = ledger(probe(Forked(2.0), x()))
    assert altered.closure_error == pytest.approx(joins[0] + 2, abs=1e-6), (
        "no interference is assumed"
    )
    assert altered.open == (
        "more gradient arrives at first than its 2 edges can add up to: something changes it on "
        "the way, as a hook of the model's "
        "own does",
    )


class PassesOne(torch.autograd.Function):
    """x + y, whose backward pass gives y no gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        return x + y

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> tuple[Tensor, None]:
        return gradient[0], None


class Swallowing(nn.Module):
    def __init__(self, both: bool):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.both = nn.Linear(6, 6), nn.Linear(6, 6), both

    def forward(self, x: Tensor) -> Tensor:
        branch = torch.tanh(self.second(x))
        return PassesOne.apply(self.first(x) if self.both else torch.ones_like(branch), branch) * 2  # type: ignore[return-value]


def test_an_edge_without_a_gradient_hands_on_0_and_is_named() -> None:
    trace = probed(Swallowing(True), x())
    account = ledger(trace)
    assert account.closure_error < CLOSED
    assert account.open == ("the backward pass of PassesOne returns no gradient for tanh",)
    (finding,) = diagnose(trace).matching(("gradient-deleted",))
    assert (finding.severity, finding.where) == ("info", "PassesOne")


def test_an_edge_without_a_gradient_adds_nothing_at_a_fork() -> None:
    class Direct(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.first = nn.Linear(6, 6)

        def forward(self, x: Tensor) -> Tensor:
            h = self.first(x)
            return PassesOne.apply(torch.tanh(h), h) * 2  # type: ignore[return-value]

    account = ledger(probe(Direct(), x()))
    assert account.closure_error < CLOSED
    assert account.open == ("the backward pass of PassesOne returns no gradient for first",)


def test_a_gradient_that_nothing_else_hands_on_is_an_error() -> None:
    found = diagnose(probe(Swallowing(False), x()))
    assert [(each.rule, each.severity, each.where) for each in found] == [
        ("gradient-deleted", "error", "PassesOne")
    ]
    assert "returns no gradient (None) for tanh" in found.verdict


def test_an_unused_half_counts_as_a_gradient_of_0() -> None:
    """Its mean square is over the whole output, as that of what was cut in two; both halves used,
    nothing is left out."""

    class Half(nn.Module):
        def __init__(self, both: bool):
            super().__init__()
            torch.manual_seed(0)
            self.wide, self.both = nn.Linear(6, 8), both

        def forward(self, x: Tensor) -> Tensor:
            a, b = self.wide(x).chunk(2, -1)
            return a * 3 + b * 5 if self.both else a * 3

    for both in (False, True):
        trace = probe(Half(both), x(), repeats=2)
        cut, wide = trace["chunk"], trace["wide"]
        assert cut.gradient is not None
        assert cut.gradient.count == (1 + both) * 8 * 4 * 2
        assert cut.log2_gradient_ms == pytest.approx(wide.log2_gradient_ms, abs=1e-9)
        assert ledger(trace).closure_error < CLOSED


# ---- what has no ledger


def test_a_gradient_that_is_nothing_has_none() -> None:
    class Zero(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 0

    class Infinite(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x / 0

    with pytest.raises(UnreliableGrowth, match="the gradient is 0 at the sources"):
        ledger(probe(Zero(), x()))
    with pytest.raises(UnreliableGrowth, match="the gradient is not finite at the sources"):
        ledger(probe(Infinite(), x()))
    with pytest.raises(TypeError, match="ledger takes a Run, got Tensor"):
        ledger(x())  # type: ignore[arg-type]


def test_dominators_are_what_every_path_crosses() -> None:
    trace = probe(residual(2), x())
    names = [trace.ops[i].name for i in reversed(trace.graph.dominators)]
    assert names == ["input", "0", "1.add", "2.add", "3"]


def test_dominators_by_brute_force() -> None:
    """An operation is a station if no path from the cotangents to the sources goes around it."""

    class Tangled(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            a = x * 2
            b, c = a.sin(), a.cos()
            d = b * c + b
            e = d.tanh()
            return e + e.exp() * d.detach()

    model = Tangled()
    before = state(model)
    trace = probe(model, x())
    assert state(model) == before

    def reaches(without: int) -> bool:
        live = {op for op, _ in trace.sinks} - {without}
        for op in reversed(trace.ops):
            if op.id in live:
                live |= {edge.source for edge in op.edges} - {without}
        return any(op in live for op, _ in trace.sources)

    assert sorted(trace.graph.dominators) == [
        op.id for op in trace.ops if op.gradient is not None and not reaches(op.id)
    ]
    assert not isinf(ledger(trace).closure_error)
