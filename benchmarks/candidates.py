"""What takes the place of a training step's forward and backward pass: plain training, the floor,
the probe, and hooks as a user writes them. Other tools stand in `peers`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.workloads import Workload

Step = Callable[[], object]


class Case:
    """A workload's model and batch, drawn."""

    def __init__(self, workload: Workload) -> None:
        torch.manual_seed(0)
        self.workload = workload
        self.model, self.inputs = workload.make()

    def loss(self) -> Tensor:
        given = self.inputs
        output = self.model(**given) if isinstance(given, dict) else self.model(given)
        return self.workload.loss(output, given)

    def train(self) -> None:
        """A training step's forward and backward pass."""
        self.loss().backward()


@dataclass(frozen=True)
class Candidate:
    """One way to run a step.

    Attributes:
        title: in words.
        sees: what it tells of a network.
        start: attaches to a case; the answer runs one step.
        finds: runs the founding case and tells whether its growth was noticed, and through what;
            None: it gives numbers or pictures, and no verdict.
        trains: whether a step leaves gradients, and the optimizer moves.
        is_peer: whether it is none of the project's own.
        is_installed: whether it stands in the peers' environment.
    """

    title: str
    sees: str
    start: Callable[[Case], Step]
    finds: Callable[[Case], tuple[bool, str]] | None = None
    trains: bool = True
    is_peer: bool = False
    is_installed: bool = False


def floor(case: Case) -> Step:
    """Gradients of the inputs, or of the embeddings' outputs, and of no parameter."""
    inputs = case.inputs
    if isinstance(inputs, Tensor):
        x = inputs.detach().requires_grad_()

        def of_inputs() -> None:
            torch.autograd.grad(case.workload.loss(case.model(x), inputs), x)

        return of_inputs
    embedded: list[Any] = []
    for module in case.model.modules():
        if isinstance(module, nn.Embedding):
            module.register_forward_hook(lambda _, args, output: embedded.append(output))

    def of_embeddings() -> None:
        embedded.clear()
        torch.autograd.grad(case.loss(), embedded)

    return of_embeddings


def probing(**options: Any) -> Callable[[Case], Step]:
    def start(case: Case) -> Step:
        import depthscale as ds

        return lambda: ds.probe(case.model, case.inputs, **options)

    return start


def verdict(case: Case) -> tuple[bool, str]:
    import depthscale as ds

    found = ds.diagnose(ds.probe(case.model, case.inputs)).verdict
    return "gradients explode" in found, f"`diagnose`: {found}"


def hooks(statistics: Callable[[Tensor], object]) -> Callable[[Case], Step]:
    """Statistics of what every innermost module gives, and of the gradient that arrives there."""

    def start(case: Case) -> Step:
        found: dict[tuple[str, str], object] = {}

        def keep(name: str, way: str, value: Any) -> None:
            if isinstance(value, Tensor):
                found[way, name] = statistics(value.detach())

        for name, module in case.model.named_modules():
            if not any(module.children()):
                module.register_forward_hook(
                    lambda _, args, output, name=name: keep(name, "forward", output)
                )
                module.register_full_backward_hook(
                    lambda _, before, after, name=name: keep(name, "backward", after[0])
                )
        return case.train

    return start


def scalars(x: Tensor) -> tuple[float, float]:
    return x.std().item(), x.abs().max().item()


def with_histogram(x: Tensor) -> tuple[Any, ...]:
    return (*scalars(x), torch.histc(x, 64).tolist())


def watched_for_nan(case: Case) -> Step:
    def step() -> None:
        with torch.autograd.detect_anomaly(check_nan=True):
            case.train()

    return step


def anomaly(case: Case) -> tuple[bool, str]:
    try:
        watched_for_nan(case)()
    except RuntimeError as error:
        return True, str(error)
    return False, "silent: it looks for NaN"


OURS: dict[str, Candidate] = {
    "plain": Candidate("plain", "the loss", lambda case: case.train),
    "floor": Candidate("floor", "the inputs' gradient", floor, trains=False),
    "probe": Candidate(
        "`ds.probe`",
        "every operation: all counts of its output and of the gradient there",
        probing(),
        verdict,
        trains=False,
    ),
    "params": Candidate(
        "`ds.probe(params=True)`",
        "the same, and of every parameter and its gradient",
        probing(params=True),
        trains=False,
    ),
}
