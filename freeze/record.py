"""Writes what the command line's records say of many networks: the frozen behaviour of a commit.

Usage: python freeze/record.py OUT.json, with the commit's src and tests on PYTHONPATH.
"""

import json
import os
import sys
import tempfile
import traceback
import warnings
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"
warnings.simplefilter("ignore")

WIDTHS = ["--width", "64", "--batch", "32"]
SPECS: dict[str, list[str]] = {
    "relu": [],
    "relu 30": ["--depth", "30"],
    "shared": ["--loss", "shared"],
    "batch": ["--norm", "batch"],
    "batch 40": ["--norm", "batch", "--depth", "40"],
    "batch shared": ["--norm", "batch", "--loss", "shared"],
    "batch of 4": ["--norm", "batch", "--batch", "4"],
    "batch of 3": ["--norm", "batch", "--batch", "3"],
    "batch frozen": ["--norm", "batch", "--statistics", "frozen"],
    "batch running": ["--norm", "batch", "--statistics", "running"],
    "batch after": ["--norm", "batch", "--position", "after"],
    "batch eps": ["--norm", "batch", "--eps", "0.1"],
    "batch gamma": ["--norm", "batch", "--gamma", "0.5", "--beta", "1"],
    **{
        f"batch {phi}": ["--norm", "batch", "--activation", phi]
        for phi in ("tanh", "gelu", "silu", "erf", "linear", "leaky_relu(0.2)", "elu", "softplus")
    },
    **{
        f"{norm} {phi}": ["--norm", norm, "--activation", phi]
        for norm in ("layer", "rms", "weight_standardized", "scaled_weight_standardized")
        for phi in ("relu", "tanh")
    },
    "weight": ["--norm", "weight"],
    "layer after": ["--norm", "layer", "--position", "after"],
    "rms after": ["--norm", "rms", "--position", "after"],
    "group": ["--norm", "group", "--groups", "4"],
    **{
        f"tanh {w} {b}": ["--activation", "tanh", "--sigma-w2", w, "--sigma-b2", b]
        for w, b in (("0.7", "0"), ("1", "0"), ("1.76", "0.05"), ("3", "0.1"))
    },
    **{phi: ["--activation", phi] for phi in ("gelu", "silu", "selu", "sin", "hard_tanh")},
    "orthogonal": ["--weights", "orthogonal", "--activation", "linear", "--sigma-w2", "1"],
    "uniform": ["--weights", "uniform"],
    "residual": ["--residual.form", "pre"],
    **{
        f"{norm} {form}": ["--norm", norm, "--residual.form", form, "--depth", "24"]
        for norm in ("none", "batch", "layer", "rms")
        for form in ("pre", "post")
    },
    "residual scale": ["--residual.form", "pre", "--residual.scale", "0.3", "--norm", "batch"],
}
ONLY_PREDICTED = {
    "batch inf": ["--norm", "batch", "--batch", "inf"],
    "batch 300": ["--norm", "batch", "--depth", "300"],
    "residual batch 96": ["--norm", "batch", "--residual.form", "pre", "--depth", "96"],
    "tanh 300": ["--activation", "tanh", "--sigma-w2", "1.5", "--depth", "300"],
}
MODEL = """
from torch import nn
import torch

def stack(*after):
    def make():
        layers = [(nn.Linear(64, 64), *(part() for part in after)) for _ in range(8)]
        return nn.Sequential(*(part for each in layers for part in each)), torch.randn(32, 64)
    return make

batch = stack(lambda: nn.BatchNorm1d(64), nn.ReLU)
layer = stack(lambda: nn.LayerNorm(64), nn.GELU)
"""


def run(argv: list[str]) -> Any:
    """The record that one command writes, or what it says where it refuses."""
    from depthscale.cli import app

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "record.json"
        try:
            app([*argv, "--json", str(path)], exit_on_error=False, print_error=False)
        except BaseException as wrong:
            if not path.is_file():
                return {"refused": f"{type(wrong).__name__}: {wrong}"}
        return json.loads(path.read_text())


def networks(folder: Path) -> dict[str, list[str]]:
    """Every network of a known verdict as a factory in a file."""
    from known_networks import KNOWN

    found = {}
    for k, (name, known) in enumerate(KNOWN.items()):
        path = folder / f"frozen_{k}.py"
        path.write_text(f"from known_networks import KNOWN\nmake = KNOWN[{name!r}].make\n")
        argv = ["probe", f"{path}:make", "--params"]
        for option, value in known.probing.items():
            if isinstance(value, bool):
                argv += [f"--{option}"] if value else []
            elif isinstance(value, str | int):
                argv += [f"--{option}", str(value)]
        found[f"probe {name}"] = argv
        if k % 6 == 0:
            found[f"probe thrice {name}"] = [*argv, "--repeats", "3"]
    return found


def cases(folder: Path) -> dict[str, list[str]]:
    model = folder / "explained.py"
    model.write_text(MODEL)
    found = networks(folder)
    for name, argv in SPECS.items():
        found[f"predict {name}"] = ["predict", *WIDTHS, *argv]
        seeds = "9" if len(name) % 2 else "2"
        found[f"simulate {name}"] = ["simulate", *WIDTHS, *argv, "--seeds", seeds]
    for name, argv in ONLY_PREDICTED.items():
        found[f"predict {name}"] = ["predict", *WIDTHS, *argv]
    for phi in ("relu", "tanh", "gelu", "erf"):
        found[f"phase {phi}"] = ["phase", "--activation", phi]
    found["explain batchnorm"] = ["explain", "batchnorm"]
    for norm in ("batch", "layer"):
        found[f"explain growth {norm}"] = ["explain", "growth", *WIDTHS, "--norm", norm]
        found[f"explain model {norm}"] = ["explain", "model", f"{model}:{norm}"]
    found["explain normalizers"] = ["explain", "normalizers", *WIDTHS, "--seeds", "2"]
    return found


def main(path: str) -> None:
    import torch

    torch.set_num_threads(1)
    records, stdout = {}, sys.stdout
    with tempfile.TemporaryDirectory() as folder:
        for name, argv in cases(Path(folder)).items():
            sys.stdout = Path(os.devnull).open("w")
            try:
                records[name] = run(argv)
            except Exception:
                records[name] = {"failed": traceback.format_exc()}
            sys.stdout = stdout
    Path(path).write_text(json.dumps(records))
    print(f"{len(records)} records")


if __name__ == "__main__":
    main(sys.argv[1])
