"""Grids as they are written, and cells as they are told apart."""

import numpy as np
import pytest

from depthscale.errors import InvalidSpec
from depthscale.sweeps.grid import cells_of, checked_grid, checked_seeds, read_grid


@pytest.mark.parametrize(
    ("written", "values"),
    [
        ("10,20,40", [10, 20, 40]),
        ("1..5", [1, 2, 3, 4, 5]),
        (".01..0.1x5", [0.01, 0.0325, 0.055, 0.0775, 0.1]),
        ("10..50x5", [10, 20, 30, 40, 50]),
        ("1e-4..1x5log", [1e-4, 1e-3, 1e-2, 0.1, 1.0]),
        ("-1..1x3,7", [-1, 0, 1, 7]),
        ("range(1,10,4)", [1, 5, 9]),
        ("range(0,1,.25),2", [0.0, 0.25, 0.5, 0.75, 2]),
        ("batch,none", ["batch", "none"]),
        ("true,false,null", [True, False, None]),
        ("1e-3", [0.001]),
        ("leaky_relu(0.2)", ["leaky_relu(0.2)"]),
    ],
)
def test_values_are_read_as_they_are_meant(written: str, values: list) -> None:
    (read,) = read_grid([f"name={written}"]).values()
    assert read == values
    assert [type(each) for each in read] == [type(each) for each in values]


def test_equal_factors_are_equal() -> None:
    (values,) = read_grid(["lr=1e-3..0.5x7log"]).values()
    factors = np.array(values[1:]) / np.array(values[:-1])
    assert factors == pytest.approx(500 ** (1 / 6), rel=1e-9)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["depth"], "is no part of a grid"),
        (["depth="], "is no part of a grid"),
        (["1=2"], "is no part of a grid"),
        (["depth=10.."], "'10..' is no value"),
        (["depth=10,,20"], "'nothing' is no value"),
        (["depth=5..1"], "only rising whole numbers count"),
        (["std=.1...3"], "only rising whole numbers count"),
        (["std=.1..0.3"], "only rising whole numbers count"),
        (["std=.1..0.3x1"], "2 values or more"),
        (["std=.1..0.1x4"], "two different ends"),
        (["std=0..1x4log"], "ends above 0"),
        (["n=range(5,1)"], "holds no value"),
        (["n=range(1,2,0)"], "holds no value"),
        (["n=1", "n=2"], "names n twice"),
    ],
)
def test_a_grid_that_is_none_is_refused_in_a_line(words: list[str], said: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        read_grid(words)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        ({}, "a grid gives each name its values"),
        ([1], "a grid gives each name its values"),
        ({"n": 3}, "must list its values"),
        ({"n": "abc"}, "must list its values"),
        ({"n": []}, "no value of n"),
        ({"n": [1, 2, 1]}, "lists n = 1 twice"),
        ({"n": [object()]}, "a value is a number, a text"),
        ({"n": [float("nan")]}, "a value is a number, a text"),
        ({"seed": [1]}, "every table has itself"),
        ({"no name": [1]}, "is no name of an argument"),
        ({f"n{i}": list(range(1000)) for i in range(3)}, "more than 10,000,000 cells"),
    ],
)
def test_values_that_tell_no_cells_apart_are_refused(grid: dict, said: str) -> None:
    with pytest.raises(InvalidSpec, match=said):
        checked_grid(grid)


@pytest.mark.parametrize("seeds", [0, -1, True, 1.5, [], [1, 1], [-1], [0.5], "12", [2**32]])
def test_seeds_that_are_none_are_refused(seeds: object) -> None:
    with pytest.raises(InvalidSpec, match="seeds are how many"):
        checked_seeds(seeds)  # pyright: ignore[reportArgumentType]


def test_a_cell_is_told_by_what_makes_it() -> None:
    def ids(grid: dict, seeds: list[int], made_by: str = "f") -> set[str]:
        return {cell.id for cell in cells_of(checked_grid(grid), seeds, made_by)}

    base = ids({"a": [1, 2], "b": [0.5]}, [0, 1])
    assert len(base) == 4
    assert base == ids({"b": np.array([0.5]), "a": [2, 1]}, [1, 0])
    assert base < ids({"a": [1, 2, 3], "b": [0.5]}, [0, 1, 2])
    for other in (
        ids({"a": [1, 2], "b": [0.25]}, [0, 1]),
        ids({"a": [1, 2], "c": [0.5]}, [0, 1]),
        ids({"a": ["1", "2"], "b": [0.5]}, [0, 1]),
        ids({"a": [1, 2], "b": [0.5]}, [2, 3]),
        ids({"a": [1, 2], "b": [0.5]}, [0, 1], "g"),
    ):
        assert not base & other


def test_every_combination_comes_once_and_the_first_seed_first() -> None:
    cells = list(cells_of(checked_grid({"a": [1, 2, 3], "b": "x y".split()}), [4, 5], ""))
    assert [cell.seed for cell in cells] == [4] * 6 + [5] * 6
    assert {tuple(cell.arguments.values()) for cell in cells[:6]} == {
        (a, b) for a in (1, 2, 3) for b in "xy"
    }
