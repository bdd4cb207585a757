"""A sweep on Ray: the rows of this machine's processes bit for bit, and none lost with a worker."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
import torch

import depthscale as ds
from sweeps import factories

GRID = {"depth": [6, 12], "std": [0.1, 0.2]}


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def test_both_backends_give_the_same_rows_bit_for_bit(tmp_path: Path) -> None:
    inputs = torch.randn(8, factories.WIDTH, generator=torch.Generator().manual_seed(0))
    tables = [
        ds.sweep(
            factories.bn, GRID, seeds=3, inputs=inputs, out=tmp_path / backend, backend=backend
        ).table()
        for backend in ("local", "ray")
    ]
    assert len(tables[0]) == 12
    assert tables[0].equals(tables[1])


def test_a_folder_begun_here_is_finished_there(tmp_path: Path) -> None:
    asked = {"measure": factories.square, "out": tmp_path}
    ds.sweep(factories.fails_at_3, {"n": [1, 2, 3]}, **asked)
    seen: list[tuple[int, int]] = []
    found = ds.sweep(
        factories.fails_at_3,
        {"n": [1, 2, 3, 4, 5]},
        backend="ray",
        progress=lambda *done: seen.append(done),
        **asked,
    )
    assert seen[0] == (3, 5)
    assert found.table()["square"].to_pylist() == [1, 4, None, 16, 25]


def test_a_worker_killed_in_the_middle_loses_no_cell(tmp_path: Path) -> None:
    grid = {"n": [*range(1, 60)], "place": [str(tmp_path / "died")]}
    found = ds.sweep(factories.dies_once, grid, measure=factories.square, backend="ray")
    assert (tmp_path / "died").exists()
    assert found.table()["square"].to_pylist() == [n * n for n in range(1, 60)]


def test_a_cell_that_no_worker_survives_is_the_row_that_it_is_here(tmp_path: Path) -> None:
    rows = [
        ds.sweep(
            factories.dies_at_3, {"n": [2, 3, 4]}, measure=factories.square, backend=backend
        ).table()
        for backend in ("local", "ray")
    ]
    assert rows[0].equals(rows[1])
    assert "died each time" in rows[0]["error"].to_pylist()[1]
