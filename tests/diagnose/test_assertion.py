"""assert_propagation: passes what is healthy, fails with the operation's name, and only where it is sure."""

import pytest
import torch
from torch import nn

import depthscale as ds
from depthscale.diagnose.thresholds import Thresholds
from known_networks import BATCH, WIDTH, batch_norm, layer_norm, mlp


def test_healthy_networks_pass_and_give_their_trace() -> None:
    trace = ds.assert_propagation(*mlp(30, nn.ReLU))
    assert isinstance(trace, ds.Trace)
    assert ds.assert_propagation(trace) is trace
    ds.assert_propagation(*mlp(30, layer_norm, nn.ReLU), max_rate=1.05, min_rate=0.95)


def test_the_message_names_the_operation_and_what_it_does() -> None:
    with pytest.raises(AssertionError, match=r"x1\.4.* more than 3 standard errors above max_rate=1\.05.*batch_norm does it"):
        ds.assert_propagation(*mlp(30, batch_norm, nn.ReLU))
    with pytest.raises(
        ds.PropagationFailed, match=r"below min_rate=0\.9.*The weights of module \d+ have fan_in x variance 0\.33"
    ):
        ds.assert_propagation(*mlp(20, nn.ReLU, layer=nn.Linear), min_rate=0.9)
    with pytest.raises(ds.PropagationFailed, match=r"above max_rate=1\.05.*The weights of module \d+ have fan_in x variance"):
        ds.assert_propagation(*mlp(20, nn.ReLU, sigma_w2=4.0))


def test_limits_are_only_those_that_are_asked_for() -> None:
    trace = ds.probe(*mlp(20, nn.ReLU, layer=nn.Linear))
    ds.assert_propagation(trace)  # vanishes, but min_rate is None
    ds.assert_propagation(ds.probe(*mlp(20, batch_norm, nn.ReLU)), max_rate=None)


def test_it_fails_only_where_the_rate_is_surely_beyond() -> None:
    """Right at the interval's end: a limit inside passes, one outside fails."""
    trace = ds.probe(*mlp(20, batch_norm, nn.ReLU))
    found = ds.growth(trace)
    assert found is not None
    low, high = found.interval
    assert low < found.rate - 3 * found.stderr, "18 steps: Student's t is wider than 3 standard errors"
    ds.assert_propagation(trace, max_rate=low * 1.0001)
    with pytest.raises(ds.PropagationFailed):
        ds.assert_propagation(trace, max_rate=low * 0.9999)
    ds.assert_propagation(trace, max_rate=None, min_rate=high * 0.9999)
    with pytest.raises(ds.PropagationFailed):
        ds.assert_propagation(trace, max_rate=None, min_rate=high * 1.0001)


def test_without_depth_there_is_a_clear_error() -> None:
    with pytest.raises(ds.InvalidProbe, match="nothing repeats three times"):
        ds.assert_propagation(nn.Linear(4, 4), torch.randn(2, 4))
    with pytest.raises(ds.UnreliableGrowth, match="4 repetitions of linear-relu leave 2 whole steps"):
        ds.assert_propagation(*mlp(4, nn.ReLU))


def test_it_takes_the_arguments_of_probe() -> None:
    network, x = mlp(20, batch_norm, nn.ReLU)
    with pytest.raises(ds.PropagationFailed):
        ds.assert_propagation(network, x, mode="train")
    ds.assert_propagation(network, x, mode="eval")
    assert Thresholds().deviates == 3.0, "as sure as the diagnosis"
    assert x.shape == (BATCH, WIDTH)
