"""Where a training run's trouble began: against faults planted at a known step and place."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from depthscale._report import to_html
from depthscale.monitor import Departed, load_recording
from monitor.diverging import ConvNet, Fault, PostNormTransformer, diverge

Plant = Callable[[nn.Module, torch.optim.Optimizer], None]


def of_optimizer(layer: str, change: Callable[[dict], None]) -> Plant:
    """Something done to the group of one layer's parameters."""

    def plant(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        for group in optimizer.param_groups:
            if group["name"].startswith(layer):
                change(group)

    return plant


def rate(layer: str) -> Fault:
    return Fault(of_optimizer(layer, lambda g: g.update(lr=g["lr"] * 100)), where=(layer,), after=8)


def decay(layer: str) -> Fault:
    """A hundredth, three decades too large."""
    plant = of_optimizer(layer, lambda g: g.update(weight_decay=1e-2 * 1e3))
    return Fault(plant, where=(layer,), after=18)


def overflow(layer: str) -> Fault:
    def plant(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        with torch.no_grad():
            model.get_parameter(f"{layer}.weight").mul_(1e6)

    return Fault(plant, where=(layer,), half=True)


def missing(norm: str) -> Fault:
    def plant(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        block, _, name = norm.rpartition(".")
        setattr(model.get_submodule(block), name, nn.Identity())

    return Fault(plant, where=(norm,))


def bad_batch() -> Fault:
    def spoil(x: Tensor) -> Tensor:
        return x * 1e3

    return Fault(spoil=spoil, where=("input",))


NETS: dict[str, Callable[[], nn.Module]] = {
    "transformer": PostNormTransformer,
    "convolutions": ConvNet,
}
FAULTS = {
    ("transformer", "rate x100"): rate("blocks.2.up"),
    ("transformer", "bad batch"): bad_batch(),
    ("transformer", "float16"): overflow("blocks.3.down"),
    ("transformer", "missing norm"): missing("blocks.1.norm2"),
    ("transformer", "weight decay"): decay("blocks.2.down"),
    ("convolutions", "rate x100"): rate("blocks.3.0"),
    ("convolutions", "bad batch"): bad_batch(),
    ("convolutions", "float16"): overflow("blocks.4.0"),
    ("convolutions", "missing norm"): missing("blocks.2.1"),
    ("convolutions", "weight decay"): decay("blocks.3.0"),
}
pytestmark = pytest.mark.filterwarnings("ignore:depthscale's monitor")
AT = 24


@pytest.mark.parametrize(("net", "fault"), FAULTS)
def test_the_planted_step_and_operation_are_named(net: str, fault: str) -> None:
    planted = FAULTS[net, fault]
    steps = AT + planted.after + 4
    origin = diverge(NETS[net], planted, None, at=AT, steps=steps).began()
    assert origin is not None
    assert AT <= origin.step <= AT + planted.after
    assert origin.operation.startswith(planted.where)
    assert (origin.what is Departed.GONE) == (fault == "missing norm")


def test_the_page_of_a_file_shows_step_block_and_operation(tmp_path: Path) -> None:
    path = tmp_path / "run.dsmon"
    diverge(ConvNet, FAULTS["convolutions", "float16"], path, at=AT, steps=AT + 4)
    page = to_html(load_recording(path))
    for shown in (f"It began at step {AT} in blocks.4", "weight of blocks.4.0", "blocks.3.2"):
        assert shown in page


@pytest.mark.parametrize("net", NETS)
def test_a_training_without_a_fault_has_no_such_place(net: str) -> None:
    monitor = diverge(NETS[net], Fault(), None, at=AT, steps=AT + 8)
    assert monitor.dropped == {}
    assert monitor.began() is None
