"""Training is the same with and without a monitor, bit for bit."""

import pytest
import torch

import depthscale as ds
from monitor.training import CASES, trained


@pytest.mark.parametrize("steps", [16, pytest.param(300, marks=pytest.mark.slow)])
@pytest.mark.parametrize("case", CASES)
def test_losses_and_weights_are_equal_bit_for_bit(case: str, steps: int) -> None:
    monitors: list[ds.Monitor] = []

    def watch(model: torch.nn.Module) -> ds.Monitor:
        monitors.append(ds.Monitor(model, every=2))
        return monitors[0]

    without, watched = trained(case, steps, None), trained(case, steps, watch)
    assert watched.losses == without.losses
    for name, weights in without.weights.items():
        assert torch.equal(weights, watched.weights[name]), name
    (monitor,) = monitors
    assert monitor.dropped == {}
    assert monitor.steps == tuple(range(0, steps, 2))[-20:]
    assert len(monitor.timeline()) == steps // 2
