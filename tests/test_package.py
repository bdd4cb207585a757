"""The public names are there, and cost nothing until they are used."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import depthscale as ds


def test_every_public_name_is_found() -> None:
    for name in ds.__all__:
        assert getattr(ds, name) is not None
    assert dir(ds) == sorted([*ds.__all__, "__version__"])


def test_an_unknown_name_says_which_there_are() -> None:
    with pytest.raises(AttributeError, match=r"depthscale has no 'probes'; it has .*simulate"):
        ds.probes  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]


COMMANDS = "from depthscale.cli import main; main"
TORCH_FREE = (
    "import depthscale",
    "import depthscale as ds; ds.NetSpec()",
    "import depthscale as ds; ds.growth(ds.predict(ds.NetSpec()))",
    "import depthscale as ds; ds.Sketch.from_bytes(ds.Sketch().to_bytes()) + ds.Sketch()",
    f"{COMMANDS}(['predict', '--depth', '10', '--json', '-'])",
    f"{COMMANDS}(['phase', '--activation', 'relu', '--out', 'phase', '--json', '-'])",
)


@pytest.mark.parametrize("code", TORCH_FREE)
def test_what_measures_nothing_loads_neither_torch_nor_numba(code: str, tmp_path: Path) -> None:
    assert loaded(code, tmp_path) == "[]"


def test_a_sketch_of_a_tensor_loads_both(tmp_path: Path) -> None:
    code = "import depthscale as ds; import torch; ds.Sketch.of(torch.ones(1))"
    assert loaded(code, tmp_path) == "['torch', 'numba']"


def test_the_lowest_versions_that_are_allowed_are_those_that_are_tested() -> None:
    root = Path(__file__).parents[1]
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    allowed = dict(each.split(">=") for each in project["dependencies"])
    tested = dict(re.findall(r"^([\w-]+)==([\d.]+)$", (root / "lowest.txt").read_text(), re.M))
    assert tested.pop("torch") == "2.13.0"  # README says that no other was run
    assert allowed.pop("torch") == "2.6"
    assert tested == {
        name: f"{version}{'.0' * (2 - version.count('.'))}" for name, version in allowed.items()
    }


def loaded(code: str, folder: Path) -> str:
    """Which of the two slow libraries a fresh process holds in the end."""
    watch = (
        "import atexit, sys; slow = ('torch', 'numba'); "
        "atexit.register(lambda: print('\\n', [name for name in slow if name in sys.modules]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", watch + code],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.splitlines()[-1].strip()
