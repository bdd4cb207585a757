"""What comes after a run, in CPU time on one thread: each step's seconds by the number of
operations, the exponent between, and how both stand against what was aimed at.

Each step is timed once in a fresh analysis, as the first caller meets it; of some turns the least.
"""

import gc
from collections.abc import Callable, Iterator
from functools import partial
from math import log
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time

import torch
from torch import Tensor, nn

from depthscale._diagnose import diagnose
from depthscale._probe import probe
from depthscale._report.render import to_html
from depthscale.measure import Analysis
from depthscale.run import Run
from depthscale.store import load, save


def seconds(run: Callable[[], object]) -> float:
    """CPU seconds of one call, without a collection of garbage in it."""
    gc.collect()
    start = process_time()
    run()
    return process_time() - start


SIZES = (1000, 3000, 10_000)
TURNS = 2
EXPONENT = 1.1  # at most, over all sizes
# seconds at most at the second size; the first four together
AIMS = {"growth, ledger, diagnose, predict": 0.5, "page": 1.5, "save": 0.5}
WIDTH = 32


class Block(nn.Module):
    """x + relu(W norm(x)): four operations."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.fc = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.relu(self.fc(self.norm(x)))


class Steps(nn.Module):
    """A recurrent cell of the user's own: ten operations a step."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.gate, self.state = (nn.Linear(WIDTH, WIDTH) for _ in range(2))
        self.steps = steps

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros_like(x)
        for _ in range(self.steps):
            gate = torch.sigmoid(self.gate(h) + x)
            h = (1 - gate) * h + gate * torch.tanh(self.state(h) + x)
        return h


MODELS: dict[str, Callable[[int], nn.Module]] = {
    "residual MLP": lambda n: nn.Sequential(*(Block() for _ in range(n // 4))),
    "own recurrent cell": lambda n: Steps(n // 10),
}


def steps(run: Run, folder: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """The readings in the order in which each finds what it asks of the others."""
    analysis, path = Analysis.of(run), folder / "run.json"
    yield "growth", lambda: (analysis.gradient, analysis.activation)
    yield "ledger", lambda: analysis.ledger
    yield "predict", lambda: analysis.theory
    yield "diagnose", lambda: diagnose(run)
    yield "page", partial(to_html, run)
    yield "save", partial(save, run, path)
    yield "load", partial(load, path)


def timed(model: nn.Module, folder: Path) -> tuple[int, dict[str, float]]:
    """How many operations a model has, and the seconds of each step after its run."""
    run = probe(model, torch.randn(32, WIDTH))
    return len(run), {name: seconds(step) for name, step in steps(run, folder)}


def main() -> None:
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        for name, make in MODELS.items():
            timed(make(100), Path(folder))  # what is loaded and compiled once in a process
            print(f"after a run of {name}, in seconds")
            _table([[timed(make(n), Path(folder)) for _ in range(TURNS)] for n in SIZES])


def _table(found: list[list[tuple[int, dict[str, float]]]]) -> None:
    """A row for each step, and for those that have one aim together."""
    operations = [turns[0][0] for turns in found]
    rows = {
        step: [min(each[step] for _, each in turns) for turns in found] for step in found[0][0][1]
    }
    for together in AIMS:
        parts = (rows[step] for step in together.split(", "))
        rows[together] = [sum(each) for each in zip(*parts, strict=True)]
    print(f"{'':36}{''.join(f'{n:10,}' for n in operations)}  exponent   aim")
    for step, times in rows.items():
        exponent = log(times[-1] / times[0]) / log(operations[-1] / operations[0])
        aim = f"{AIMS[step]:5.1f} s, {EXPONENT:g}" if step in AIMS else ""
        print(f"{step:36}{''.join(f'{t:10.3f}' for t in times)}{exponent:10.2f}{aim}")


if __name__ == "__main__":
    main()
