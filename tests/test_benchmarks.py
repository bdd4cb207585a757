"""The benchmarks compare what they say, and README quotes only their page. Nothing is timed."""

import re
from pathlib import Path

import pytest
import torch
from benchmarks.__main__ import in_its_own, processes
from benchmarks.candidates import OURS, Case
from benchmarks.page import README_BEGINS, page, put_into_readme, sentence
from benchmarks.peers import PEERS
from benchmarks.resnet import ResNet50
from benchmarks.results import Results
from benchmarks.rule import Probed, fitted
from benchmarks.workloads import WORKLOADS, Workload, mlp
from torch import nn

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGE = (ROOT / "docs" / "benchmarks.md").read_text()
SMALL = Workload("small", lambda: mlp(2, 8, 4), aim=1.0)


def quoted(readme: str) -> str:
    """README's sentence on speed."""
    found = re.search(re.escape(README_BEGINS) + ".*", readme)
    assert found
    return found[0]


def test_readme_quotes_the_page() -> None:
    assert f"\n{quoted(README)}\n" in PAGE, "make it again: make bench"
    assert "(docs/benchmarks.md)" in README
    assert "training step costs" not in README


def test_a_figure_that_the_page_lacks_is_seen() -> None:
    changed = re.sub(r"\d", lambda digit: str(9 - int(digit[0])), quoted(README))
    assert f"\n{changed}\n" not in PAGE


def test_the_page_has_every_workload_and_every_candidate() -> None:
    for row in (WORKLOADS | OURS | PEERS).values():
        assert row.title in PAGE, row.title


def gradients(name: str) -> list[bool]:
    """Of which parameters a step of a candidate leaves a gradient."""
    case = Case(SMALL)
    OURS[name].start(case)()
    return [p.grad is not None for p in case.model.parameters()]


def test_plain_leaves_all_gradients_and_the_floor_and_the_probe_none() -> None:
    assert all(gradients("plain"))
    for name in ("floor", "probe", "params"):
        assert not any(gradients(name))
        assert not OURS[name].trains


def test_the_floor_asks_for_the_gradient_of_embeddings_where_inputs_are_whole_numbers() -> None:
    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.linear = nn.Embedding(5, 3), nn.Linear(3, 2)

        def forward(self, words: torch.Tensor) -> torch.Tensor:
            return self.linear(self.embedding(words))

    case = Case(Workload("words", lambda: (Words(), {"words": torch.tensor([1, 2])}), aim=1.0))
    OURS["floor"].start(case)()
    assert all(p.grad is None for p in case.model.parameters())


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's, of such hooks
@pytest.mark.parametrize("name", ["hooks", "histograms", "anomaly"])
def test_hooks_leave_training_as_it_is(name: str) -> None:
    plain, hooked = Case(SMALL), Case(SMALL)
    OURS["plain"].start(plain)()
    PEERS[name].start(hooked)()
    for ours, theirs in zip(plain.model.parameters(), hooked.model.parameters(), strict=True):
        assert torch.equal(ours.grad, theirs.grad)  # type: ignore[arg-type]


def test_resnet_50_has_as_many_parameters_as_torchvision_says() -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in ResNet50().parameters()) == 25_557_032


def test_own_cell_runs_fourteen_operations_a_step() -> None:
    model, x = WORKLOADS["cell"].make()
    import depthscale as ds

    first, second = (len(ds.probe(model, x[:steps])) for steps in (3, 5))
    assert second - first == 2 * 14


LAW = (0.5, 100e-6, 1e-9)
SIZES = [(0.1, 30, 4e6), (5.0, 270, 6e7), (0.03, 2000, 1e5), (0.2, 2800, 3e6), (0.01, 31, 6e4)]


def probed(share: float, operation: float, value: float) -> list[Probed]:
    """Workloads that obey a law."""
    return [
        Probed(plain, share * plain + operation * ops + value * values, ops, int(values))
        for plain, ops, values in SIZES
    ]


def test_the_rule_finds_the_law_that_made_the_figures() -> None:
    found = fitted(probed(*LAW))
    assert (found.share, found.operation, found.value) == pytest.approx(LAW)
    assert found.residuals == pytest.approx([0] * 5, abs=1e-9)


def test_the_rule_says_how_far_it_is_off() -> None:
    """Of 1 and 3 the least relative squares are at 1.2: it minimises (p - 1)^2 + (p / 3 - 1)^2."""
    rows = [Probed(plain=1.0, probe=cost, operations=1, values=1) for cost in (1.0, 3.0)]
    assert fitted(rows).residuals == pytest.approx([0.2, -0.6])


def measured() -> Results:
    """Results in which a probe costs 2 plain steps, once 12; hooks fail."""
    results = Results()
    for key in WORKLOADS:
        for name, seconds in (("plain", [1.0]), ("floor", [0.5]), ("probe", [2.0, 2.0, 12.0])):
            steps = {"seconds": seconds, "faults": [3] * len(seconds)}
            sees = {"peak": 7, "operations": 10, "values": 20} if name == "probe" else {"peak": 7}
            results.add(0, key, name, {"loop": steps, "kept": steps} | sees)
        results.add(0, key, "hooks", {"error": "RuntimeError"})
    results.add(0, "founding", "anomaly", {"noticed": False, "through": "silent", "verdict": 3.0})
    return results


def test_the_page_says_medians_means_aims_and_errors() -> None:
    text = page(measured(), {"sketch": "what it printed\n"}, starts=0)
    assert "| README's 40 x 256, batch 128 | 0.50 | 2.00 | 1.20, missed | 5.33 | 0.50 |" in text
    assert "| own cell, 200 steps | 0.50 | 2.00 | 9.00, met | 5.33 |" in text
    assert "| own cell, 200 steps | 2.00 | RuntimeError | - |" in text
    assert "| `detect_anomaly` | no | silent | 3.00 |" in text
    assert "what it printed" in text


def test_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    assert not Results.read(kept).has(0, "wide", "plain")
    kept.write_text('[0, "wide", "plain", {"kept": {"seconds": [1.0, 3.0]}}]\n')
    assert Results.read(kept).has(0, "wide", "plain")
    assert Results.read(kept).steps("wide", "plain", "kept") == [1.0, 3.0]


def test_the_quick_share_asks_for_no_other_tool() -> None:
    quick, whole = set(processes(True, 1)), set(processes(False, 2))
    assert quick < whole
    assert not {name for _, _, name in quick} & set(PEERS)
    assert {key for _, key, _ in whole} == {*WORKLOADS, "founding"}
    assert {name for _, _, name in whole} == {*OURS, *PEERS}


def test_what_goes_wrong_is_said_in_a_word() -> None:
    assert in_its_own("nowhere", "plain", 0.0)["error"] == "KeyError"


def test_readme_takes_over_the_new_sentence(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{README_BEGINS}old words: 1.5.\nafter\n")
    put_into_readme(measured(), readme)
    assert readme.read_text() == f"before\n{sentence(measured())}\nafter\n"
