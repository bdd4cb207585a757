"""Cells on disk: whole, once, and listed quickly; of one sweep, written by one process."""

import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from depthscale.errors import DepthscaleError, InvalidRecord, InvalidSpec
from depthscale.sweeps.cell_folder import CellFolder, read_cells

MADE_BY = {"factory": "f", "measure": "m", "inputs": "i", "names": ["n"], "version": "1"}


def row(n: int, **more: Any) -> dict[str, Any]:
    return {"cell": f"{n:06}", "n": n, "seed": 0, "status": "ok", "error": None, **more}


def in_a_child(work: Any) -> int:
    """A process that does the work."""
    child = os.fork()
    if not child:
        try:
            work()
        finally:
            os._exit(0)
    return child


def fill(place: Path, cells: int) -> None:
    """What is missing, a few rows at a time."""
    with CellFolder(place, MADE_BY) as folder:
        done = folder.done()
        todo = [n for n in range(cells) if f"{n:06}" not in done]
        for start in range(0, len(todo), 7):
            folder.add([row(n, square=float(n * n)) for n in todo[start : start + 7]])


def killed_again_and_again(place: Path, cells: int, kills: int, seconds: float) -> int:
    """So many processes that fill a folder, each killed after a random time. / returns: how many
    were still at it."""
    chance, caught = random.Random(0), 0
    for _ in range(kills):
        child = in_a_child(lambda: fill(place, cells))
        time.sleep(chance.random() * seconds)
        os.kill(child, signal.SIGKILL)
        caught += os.WIFSIGNALED(os.waitpid(child, 0)[1])
    return caught


def test_kills_at_random_moments_lose_and_duplicate_nothing(tmp_path: Path) -> None:
    cells = 3_000
    assert killed_again_and_again(tmp_path / "cells", cells, kills=60, seconds=0.05) > 20
    fill(tmp_path / "cells", cells)
    table = read_cells(tmp_path / "cells")
    assert sorted(table["n"].to_pylist()) == list(range(cells))
    assert all(
        value == n * n
        for n, value in zip(table["n"].to_pylist(), table["square"].to_pylist(), strict=True)
    )
    left = {path.name for path in (tmp_path / "cells").iterdir() if path.suffix != ".parquet"}
    assert left == {"sweep.json", ".sweep.lock"}


def test_a_folder_that_forgets_what_it_began_would_be_seen(tmp_path: Path) -> None:
    """The twin: rows that are there twice are told by the same count."""
    for name in ("a", "b"):
        with CellFolder(tmp_path / name, MADE_BY) as folder:
            folder.add([row(n) for n in range(5)])
    (tmp_path / "b" / "000000.parquet").rename(tmp_path / "a" / "again.parquet")
    assert sorted(read_cells(tmp_path / "a")["n"].to_pylist()) != list(range(5))


def test_small_chunks_share_files(tmp_path: Path) -> None:
    fill(tmp_path / "cells", 5_000)
    sizes = [pq.ParquetFile(path).metadata.num_rows for path in tmp_path.rglob("*.parquet")]
    assert sum(sizes) == 5_000
    assert len(sizes) == 5
    assert min(sizes[:-1]) >= 900


def test_what_other_programs_read_has_plain_columns(tmp_path: Path) -> None:
    with CellFolder(tmp_path, MADE_BY) as folder:
        folder.add([row(1, rate=1.5, verdict="fine"), row(2, rate=None, verdict=None)])
    (path,) = tmp_path.glob("*.parquet")
    kinds = {field.name: str(field.type) for field in pq.read_schema(path)}
    assert kinds == {
        "cell": "string",
        "n": "int64",
        "seed": "int64",
        "status": "string",
        "error": "null",
        "rate": "double",
        "verdict": "string",
    }


def test_columns_of_two_kinds_become_one(tmp_path: Path) -> None:
    with CellFolder(tmp_path, MADE_BY) as folder:
        folder.add([{**row(1), "n": None}])
    with CellFolder(tmp_path, MADE_BY) as folder:
        folder.add([row(2, value=1.5)])
    with CellFolder(tmp_path, MADE_BY) as folder:
        folder.add([row(3, value="much"), {**row(4), "n": 0.5}])
    table = read_cells(tmp_path).to_pandas().set_index("cell")
    assert table["value"].dropna().to_dict() == {"000002": "1.5", "000003": "much"}
    assert table["n"].dropna().to_dict() == {"000002": 2.0, "000003": 3.0, "000004": 0.5}


@pytest.mark.parametrize("name", MADE_BY)
def test_a_folder_of_another_sweep_is_refused(tmp_path: Path, name: str) -> None:
    with CellFolder(tmp_path, MADE_BY):
        pass
    other: dict[str, Any] = {**MADE_BY, name: ["k"] if name == "names" else "other"}
    with (
        pytest.raises(InvalidSpec, match=f"folder of another sweep: its {name} differs"),
        CellFolder(tmp_path, other),
    ):
        pass
    with CellFolder(tmp_path, MADE_BY):  # and the lock is free again
        pass


def test_a_folder_that_is_being_written_to_is_refused(tmp_path: Path) -> None:
    with (
        CellFolder(tmp_path, MADE_BY),
        pytest.raises(InvalidSpec, match="another sweep is writing to"),
        CellFolder(tmp_path, MADE_BY),
    ):
        pass


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.parquet", b"PAR1", "they are of no sweep"),
        ("sweep.json", b"{", "is no folder of a sweep"),
        ("sweep.json", b"[]", "is not of schema"),
        ("sweep.json", json.dumps({"schema": "depthscale/sweep/9"}).encode(), "is not of schema"),
    ],
)
def test_what_is_no_folder_of_ours_is_left_alone(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DepthscaleError, match=said), CellFolder(tmp_path, MADE_BY):
        pass
    assert (tmp_path / name).read_bytes() == content


@pytest.mark.parametrize("cut", [0, 3, 200, -5])
def test_a_damaged_file_is_named(tmp_path: Path, cut: int) -> None:
    fill(tmp_path, 20)
    (path,) = tmp_path.glob("*.parquet")
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InvalidRecord, match=f"{path.name} is damaged"):
        read_cells(tmp_path)
