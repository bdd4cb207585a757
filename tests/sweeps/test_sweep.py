"""Sweeps on this machine's processes: every cell once, whatever happens to some of them."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import depthscale as ds
from depthscale.errors import InvalidSpec
from depthscale.sweeps.grid import cells_of
from depthscale.sweeps.local_pool import LocalPool
from depthscale.sweeps.one_cell import Recipe, row_of
from depthscale.sweeps.run_sweep import _computed, _pickled
from sweeps import factories

INPUTS = torch.randn(8, factories.WIDTH, generator=torch.Generator().manual_seed(0))


def swept(make: Callable[..., Any], grid: dict[str, Any], **more: Any) -> ds.Sweep:
    return ds.sweep(make, grid, **{"measure": factories.square, "workers": 1, **more})


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> ds.Sweep:
    folder = tmp_path_factory.mktemp("probed") / "cells"
    grid = {"depth": [6, 12], "std": [0.1, 0.2]}
    return ds.sweep(factories.bn, grid, seeds=2, inputs=INPUTS, out=folder, workers=2)


def test_a_cell_is_what_a_probe_of_the_same_seed_gives(probed: ds.Sweep) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    rows = probed.table().to_pylist()
    assert len(rows) == len(probed) == probed.total == 8
    for row in rows:
        run = ds.probe(
            lambda row=row: factories.bn(row["depth"], row["std"]), INPUTS, seed=row["seed"]
        )
        growth, account, found = ds.growth(run), ds.ledger(run), ds.diagnose(run)
        assert (row["rate"], row["stderr"]) == (growth.rate, growth.stderr)
        assert row["activation_rate"] == ds.growth(run, "activation").rate
        assert (row["step"], row["steps"]) == (growth.step, growth.steps)
        assert row["total_log2_norm2"] == account.total_log2_norm2
        assert row["closure_error"] == account.closure_error
        assert row["verdict"] == found.verdict
        assert row["rules"] == ", ".join(dict.fromkeys(each.rule for each in found))
        assert row["status"] == "ok"
    torch.set_num_threads(before)


def test_a_described_network_is_simulated() -> None:
    found = ds.sweep(factories.described, {"depth": [5], "norm": ["batch", "none"]}, seeds=[3])
    for row in found.table().to_pylist():
        run = ds.simulate(factories.described(5, row["norm"]), seeds=1, seed=3)
        assert row["rate"] == pytest.approx(ds.growth(run).rate, rel=1e-5)  # threads differ


def test_more_values_and_seeds_join_what_is_there(probed: ds.Sweep) -> None:
    seen: list[tuple[int, int]] = []
    wider = ds.sweep(
        factories.bn,
        {"std": [0.2, 0.1], "depth": [6, 12, 8]},
        seeds=3,
        inputs=INPUTS,
        out=probed.folder,
        progress=lambda *done: seen.append(done),
    )
    assert seen[0] == (8, 18)
    assert seen[-1] == (18, 18)
    again = ds.sweep(
        factories.bn,
        {"depth": [6, 12], "std": [0.1, 0.2]},
        seeds=2,
        inputs=INPUTS,
        out=probed.folder,
    )
    assert again.table().equals(probed.table().select(again.table().column_names))
    assert len(wider) == 18


def test_a_failed_cell_is_a_row_with_its_error() -> None:
    found = swept(factories.fails_at_3, {"n": [1, 2, 3, 4]})
    rows = {row["n"]: row for row in found.table().to_pylist()}
    assert {n: row["square"] for n, row in rows.items()} == {1: 1, 2: 4, 3: None, 4: 16}
    assert rows[3]["status"] == "failed"
    assert rows[3]["error"].startswith("ValueError: three is too many (factories.py:")
    assert found.errors == {rows[3]["error"]: 1}


@pytest.mark.parametrize("of", [lambda made: {"n": 1}, lambda made: [1], lambda made: {"x": []}])
def test_what_a_measure_returns_fits_a_row_or_says_why(of: Callable) -> None:
    row = row_of(Recipe(factories.number, of), {"n": 1}, 0)
    assert row["status"] == "failed"
    assert "measure returns" in str(row["error"])


@pytest.mark.parametrize(
    ("value", "kept"),
    [(2, 2.0), (torch.tensor(2.5), 2.5), (torch.float64, None), ("a", "a"), (None, None)],
)
def test_a_measure_may_return_one_value(value: Any, kept: Any) -> None:
    row = row_of(Recipe(factories.number, lambda made: value), {"n": 1}, 0)
    assert row.get("value") == kept
    assert (row["status"] == "failed") == (value is torch.float64)


def test_seeds_reach_torch_the_factory_and_the_measure() -> None:
    def make(n: int, seed: int) -> tuple[float, int]:
        return torch.rand(1).item() * n, seed

    def measure(made: tuple[float, int], seed: int) -> dict[str, float]:
        return {"drawn": made[0], "own": made[1], "also": seed, "later": torch.rand(1).item()}

    rows = swept(make, {"n": [1]}, seeds=[5, 9], measure=measure).table().to_pylist()
    for row in rows:
        torch.manual_seed(row["seed"])
        drawn = torch.rand(2).tolist()
        assert [row["drawn"], row["later"]] == drawn
        assert row["own"] == row["also"] == row["seed"]


def test_a_process_that_dies_takes_no_cell_along(tmp_path: Path) -> None:
    once = swept(
        factories.dies_once, {"n": [*range(1, 60)], "place": [str(tmp_path / "died")]}, workers=2
    )
    assert once.table()["square"].to_pylist() == [n * n for n in range(1, 60)]
    assert (tmp_path / "died").exists()


def test_a_cell_that_no_process_survives_is_a_row() -> None:
    found = swept(factories.dies_at_3, {"n": [*range(1, 40)]})
    rows = found.table().to_pylist()
    assert [row["n"] for row in rows if row["status"] == "failed"] == [3]
    assert "died each time" in rows[2]["error"]
    assert [row["square"] for row in rows if row["n"] != 3] == [
        n * n for n in range(1, 40) if n != 3
    ]


def test_a_worker_killed_from_outside_loses_nothing() -> None:
    cells = list(cells_of({"n": tuple(range(200))}, (0,), ""))
    pool = LocalPool(_pickled(Recipe(slow, factories.square)), 2)
    rows: list[dict[str, Any]] = []
    alive: list[int] = []
    for new in _computed(pool, cells):
        rows += new
        if len(rows) > 20 and not alive:
            alive = [worker._process.pid for worker in pool._workers if worker._process]
            for process in alive:
                os.kill(process, signal.SIGKILL)
    assert alive
    pool.close()
    assert sorted(row["cell"] for row in rows) == sorted(cell.id for cell in cells)
    assert all(row["status"] == "ok" for row in rows)


def slow(n: int) -> int:
    time.sleep(0.002)
    return n


def test_interrupted_and_killed_commands_go_on_where_they_ended(tmp_path: Path) -> None:
    """Whole runs of the command, each killed with its workers' cells in the air."""
    (tmp_path / "made.py").write_text(
        "import time\ndef make(n):\n    time.sleep(.004)\n    return n\n"
        "def measure(made):\n    return made * made\n"
    )
    command = [sys.executable, "-m", "depthscale", "sweep", "made.py:make", "n=1..400"]
    command += ["--measure", "made.py:measure", "--out", "cells", "--workers", "2"]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    chance = random.Random(1)
    for signalled in (signal.SIGKILL, signal.SIGINT, signal.SIGKILL):
        child = subprocess.Popen(
            command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        while not list(tmp_path.glob("cells/*.parquet")) and child.poll() is None:
            time.sleep(0.01)
        time.sleep(chance.random())
        child.send_signal(signalled)
        _, err = child.communicate()
        assert child.returncode in (-signalled, 130, 0), err
        assert b"Traceback" not in err
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, check=True)
    assert b"400 cells: n 1, 2, 3, 4, ... 400; seed 0" in done.stdout
    from depthscale.sweeps.cell_folder import read_cells

    table = read_cells(tmp_path / "cells")
    assert sorted(table["n"].to_pylist()) == list(range(1, 401))
    assert all(r["value"] == r["n"] ** 2 for r in table.to_pylist())


@pytest.mark.parametrize(
    ("make", "grid", "more", "said"),
    [
        (factories.bn, {"deph": [1]}, {}, "bn does not take the grid's deph; it takes depth, std"),
        (factories.bn, {"std": [1.0]}, {}, "bn needs depth, too"),
        (3, {"n": [1]}, {}, "calls a factory"),
        (nn.Linear, {"n": [1]}, {}, "Linear does not take the grid's n"),
        (factories.number, {"n": [1]}, {"backend": "slurm"}, "backend must be 'local' or 'ray'"),
        (factories.number, {"n": [1]}, {"workers": 0}, "workers must be a whole number"),
        (factories.number, {"n": [1]}, {"address": "auto"}, "give backend='ray'"),
        (lambda n, g=(n for n in [1]): n, {"n": [1]}, {}, "cannot be sent to a worker"),
    ],
)
def test_wrong_use_is_one_line(make: Any, grid: dict, more: dict, said: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        ds.sweep(make, grid, **more)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_changed_code_is_another_sweep(tmp_path: Path) -> None:
    swept(lambda n: n, {"n": [1]}, out=tmp_path)
    swept(lambda n: n, {"n": [1, 2]}, out=tmp_path)
    for make, more, what in (
        (lambda n: n + 1, {}, "factory"),
        (lambda n: n, {"measure": lambda made: made}, "measure"),
        (lambda n: n, {"inputs": INPUTS}, "inputs"),
    ):
        with pytest.raises(InvalidSpec, match=f"another sweep: its {what} differs"):
            swept(make, {"n": [1]}, out=tmp_path, **more)


def test_models_without_inputs_say_so_in_every_row() -> None:
    (error,) = ds.sweep(factories.bn, {"depth": [2, 3]}, workers=1).errors
    assert "let it return (model, inputs), or give inputs=" in error
