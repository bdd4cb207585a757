"""Operations folded: every one in one part, in order, by module where modules are blocks and else
by step of depth."""

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from depthscale._diagnose import diagnose
from depthscale._probe import probe
from depthscale._report.chart.folds import folded, short
from depthscale._report.chart.magnitudes import lost
from depthscale._report.phrases import interval, rounded
from depthscale._report.render import to_html
from depthscale.measure import growth, ledger
from depthscale.run import Run, depth_of
from depthscale.sketch import Sketch


def layer() -> tuple[nn.Module, ...]:
    return nn.Linear(16, 16), nn.BatchNorm1d(16), nn.ReLU()


def flat(depth: int, *, head: bool = False) -> nn.Sequential:
    """Linear, Batch Norm and ReLU, so many times, all in one Sequential."""
    parts = [part for _ in range(depth) for part in layer()]
    return (
        nn.Sequential(nn.Linear(16, 16), nn.Tanh(), *parts, nn.Linear(16, 4))
        if head
        else nn.Sequential(*parts)
    )


class Cell(nn.Module):
    """One map, used again and again on what it made before and an input of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(16, 16), nn.Linear(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros_like(x)
        for _ in range(6):
            h = (self.inner(h) + self.outer(x)).tanh()
        return h


def traced(model: nn.Module) -> Run:
    return probe(model, torch.randn(8, 16))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "flat": lambda: flat(20),
    "flat with a head": lambda: flat(12, head=True),
    "blocks": lambda: nn.Sequential(*(nn.Sequential(*layer()) for _ in range(10))),
    "deep": lambda: flat(150),
    "recurrent": Cell,
    "nothing repeats": lambda: nn.Sequential(nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 4)),
    "one operation": lambda: nn.Linear(16, 4),
}


@pytest.fixture(scope="module")
def traces() -> dict[str, Run]:
    return {name: traced(make()) for name, make in NETWORKS.items()}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_operation_is_in_one_part_and_every_gain_in_the_total(
    name: str, traces: dict[str, Run]
) -> None:
    trace = traces[name]
    account = ledger(trace)
    parts = folded(trace, account).parts
    assert (parts[0].first, parts[-1].last) == (0, len(trace.ops) - 1)
    assert all(above.last + 1 == below.first for above, below in pairwise(parts))
    assert 1 <= len(parts) <= 40
    assert sum(part.log2_gain for part in parts) == pytest.approx(
        sum(each.contribution for each in account.entries)
    )


def test_a_flat_sequential_folds_into_the_steps_that_growth_takes(traces: dict[str, Run]) -> None:
    trace = traces["flat"]
    found, known = folded(trace, None), depth_of(trace)
    assert known is not None
    assert found.step == known.word == "linear-batch_norm-relu"
    assert [part.name for part in found.parts] == ["input", *(f"step {k}" for k in range(1, 21))]
    assert [(below.last, part.last) for below, part in pairwise(found.parts[1:-1])] == list(
        known.pairs
    )
    kinds = {
        tuple(op.op for op in trace.ops[part.first : part.last + 1]) for part in found.parts[1:]
    }
    assert kinds == {("linear", "batch_norm", "relu")}


@pytest.mark.parametrize(
    "wrap", [lambda x: nn.Sequential(x), lambda x: nn.Sequential(nn.Sequential(x), nn.Tanh())]
)
def test_a_flat_sequential_inside_a_module_folds_all_the_same(
    wrap: Callable[[nn.Module], nn.Module],
) -> None:
    """Its module holds them all: one part would say nothing."""
    found = folded(traced(wrap(flat(20))), None)
    assert sum(part.name.startswith("step ") for part in found.parts) == 20


def test_what_lies_before_and_after_the_steps_keeps_its_names(traces: dict[str, Run]) -> None:
    """The head's ReLU-less layer is no step; the sequence that covers most of the depth is."""
    found = folded(traces["flat with a head"], None)
    assert [part.name for part in found.parts] == [
        "input",
        "0",
        "1",
        *(f"step {k}" for k in range(1, 13)),
        "38",
    ]


def test_blocks_keep_the_names_of_their_modules(traces: dict[str, Run]) -> None:
    found = folded(traces["blocks"], None)
    assert found.step == ""
    assert [part.name for part in found.parts] == ["input", *map(str, range(10))]


def test_many_steps_share_a_part(traces: dict[str, Run]) -> None:
    found = folded(traces["deep"], None)
    assert [part.name for part in found.parts[:3]] == ["input", "steps 1 to 4", "steps 5 to 8"]
    assert found.parts[-1].name == "steps 149 to 150"
    assert len(found.parts) == 39


def test_uses_of_a_cell_are_steps(traces: dict[str, Run]) -> None:
    found = folded(traces["recurrent"], None)
    assert found.step.startswith("use of ")
    assert sum(part.name.startswith("step ") for part in found.parts) >= 4


class Branches(nn.Module):
    """Adds a map's tanh to its input; the first map is followed by one tanh more."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.ModuleList(nn.Linear(16, 16) for _ in range(8))

    def forward(self, x: Tensor) -> Tensor:
        for i, each in enumerate(self.maps):
            branch = each(x).tanh()
            x = x + (branch.tanh() if i == 0 else branch)
        return x


def test_a_first_repetition_that_runs_other_operations_is_no_step() -> None:
    found = folded(traced(Branches()), None)
    assert found.step == "add"
    assert [(part.first, part.last) for part in found.parts if part.name.startswith("step ")] == [
        (5 + 3 * k, 7 + 3 * k) for k in range(7)
    ]


def test_a_long_path_is_cut_between_its_components() -> None:
    assert short("encoder.layers.3") == "encoder.layers.3"
    assert short("resnet.encoder.stages.3.layers.2") == "…encoder.stages.3.layers.2"
    assert short("a.very_long_component_of_a_path.x") == "…x"
    assert short("x" * 40) == "…" + "x" * 25


def test_of_a_block_the_operation_that_loses_most_is_drawn() -> None:
    """Shares of values below float8's smallest, 2^-10 at e4m3, known by counting them."""
    small = torch.tensor([1.0, 1.0, 1e-6, 1e-6])
    sketches = [
        Sketch.of(each)
        for each in (torch.ones(4), small, torch.tensor([1.0, 1.0, 1.0, 1e-6]), torch.ones(4))
    ]
    rows = lost(sketches, [[0, 1], [2, 3]])
    e4m3 = [
        (row["at"], row["share"])
        for row in rows
        if (row["format"], row["kind"]) == ("float8 e4m3", "underflow")
    ]
    assert e4m3 == [(1, 0.5), (2, 0.25)]
    each = lost(sketches)
    assert [row["share"] for row in each if row["format"] == "float8 e4m3"] == [0, 0.5, 0.25, 0]


def test_the_first_screen_has_the_rate_with_its_interval_and_theory_s() -> None:
    """Of four drawn networks: their errors are named, and the numbers are growth's and the
    diagnosis's own."""

    def make() -> nn.Module:
        return flat(10)

    trace = probe(make, torch.randn(16, 16), repeats=4)
    found, predicted = growth(trace), diagnose(trace).predicted_rate
    text = to_html(trace)
    assert found is not None
    low, high = interval(found)
    assert (
        f"95 % interval {rounded(low, found.stderr)} to {rounded(high, found.stderr)}, steps 1 to 9"
        in text
    )
    assert f"Theory: ×{predicted:.5g}." in text
    assert "batch of 16, 4 networks<" in text
    assert "± 2 standard errors over 4 networks." in text
    assert "standard errors over" not in to_html(traced(flat(10)))
