"""Operations folded: every one in one part, in order, by module where modules are blocks and else
by step of depth."""

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from depthscale._diagnose import diagnose
from depthscale._probe import probe
from depthscale._report.chart.folds import folded
from depthscale._report.chart.magnitudes import lost
from depthscale._report.phrases import interval, rounded
from depthscale._report.render import to_html
from depthscale._report.short_names import axis_labels, cut_middle
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
    parts = folded(trace, account)
    assert (parts[0].first, parts[-1].last) == (0, len(trace.ops) - 1)
    assert all(above.last + 1 == below.first for above, below in pairwise(parts))
    assert 1 <= len(parts) <= 40
    assert sum(part.log2_gain for part in parts) == pytest.approx(
        sum(each.contribution for each in account.entries)
    )


def test_a_part_is_a_block_and_of_many_blocks_several(traces: dict[str, Run]) -> None:
    for name in ("flat", "blocks", "recurrent"):
        rows = traces[name].blocks()
        parts = folded(traces[name], None)
        assert [(part.name, part.first, part.last) for part in parts] == [
            (row.name, row.first, row.last) for row in rows
        ]
    deep = folded(traces["deep"], None)
    assert [part.name for part in deep[:2]] == ["input to 6 to 8", "9 to 11 to 18 to 20"]
    assert len(deep) == 38


def test_a_flat_sequential_has_the_steps_that_growth_takes(traces: dict[str, Run]) -> None:
    known = depth_of(traces["flat"])
    assert known is not None
    rows = traces["flat"].blocks()
    assert {row.kind for row in rows.rows[1:]} == {known.word} == {"linear-batch_norm-relu"}
    assert [(below.last, row.last) for below, row in pairwise(rows.rows[1:-1])] == [*known.pairs]


@pytest.mark.parametrize(
    "wrap", [lambda x: nn.Sequential(x), lambda x: nn.Sequential(nn.Sequential(x), nn.Tanh())]
)
def test_a_flat_sequential_inside_a_module_has_them_all_the_same(
    wrap: Callable[[nn.Module], nn.Module],
) -> None:
    """Its module holds them all: one part would say nothing."""
    rows = traced(wrap(flat(20))).blocks()
    assert sum(row.kind == "linear-batch_norm-relu" for row in rows) == 20


def test_what_lies_before_and_after_the_steps_keeps_its_names(traces: dict[str, Run]) -> None:
    """The head's ReLU-less layer is no step; the sequence that covers most of the depth is."""
    names = [(row.name, bool(row.kind)) for row in traces["flat with a head"].blocks()]
    assert names[:3] == [("input", False), ("0 to 1", False), ("2 to 4", True)]
    assert names[-2:] == [("35 to 37", True), ("38", False)]


def test_uses_of_a_cell_are_steps(traces: dict[str, Run]) -> None:
    kinds = [row.kind for row in traces["recurrent"].blocks()]
    assert sum(kind.startswith("use of ") for kind in kinds) >= 4


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
    rows = traced(Branches()).blocks()
    assert [(row.first, row.last) for row in rows if row.kind == "add"] == [
        (5 + 3 * k, 7 + 3 * k) for k in range(7)
    ]


def test_a_long_name_keeps_both_ends() -> None:
    assert cut_middle("encoder.layers.3") == "encoder.layers.3"
    assert cut_middle("resnet.encoder.stages.3.layers.2") == "resnet.e…stages.3.layers.2"
    assert len(cut_middle("x" * 40, 12)) == 12
    stages = [f"net.stages.{k}.layers.0" for k in range(3)]
    assert axis_labels(["stem", *stages], stages) == [
        "stem",
        *(f"{k}.layers.0" for k in range(3)),
    ]


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
    assert f"Theory: ×{rounded(predicted, found.stderr)}." in text
    assert "batch of 16, 4 networks, 11 blocks of 31 operations<" in text
    assert "± 2 standard errors over 4 networks." in text
    assert "standard errors over" not in to_html(traced(flat(10)))
