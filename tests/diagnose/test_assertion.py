"""assert_propagation: passes what is healthy, fails with the operation's name, and only where it is
sure."""

import pytest
import torch
from torch import Tensor, nn

import depthscale as ds
from depthscale.measure.thresholds import Thresholds
from known_networks import BATCH, WIDTH, batch_norm, beside, layer_norm, mlp, one_layer


def test_healthy_networks_pass_and_give_their_trace() -> None:
    trace = ds.assert_propagation(*mlp(30, nn.ReLU))
    assert isinstance(trace, ds.Run)
    assert ds.assert_propagation(trace) is trace
    ds.assert_propagation(*mlp(30, layer_norm, nn.ReLU), max_rate=1.05, min_rate=0.95)


def test_the_message_names_the_operation_and_what_it_does() -> None:
    with pytest.raises(
        AssertionError,
        match=r"x1\.4.* more than 3 standard errors above max_rate=1\.05.*batch_norm does it",
    ):
        ds.assert_propagation(*mlp(30, batch_norm, nn.ReLU))
    with pytest.raises(
        ds.PropagationFailed,
        match=r"below min_rate=0\.9.*The weights of module \d+ have fan_in x variance 0\.33",
    ):
        ds.assert_propagation(*mlp(20, nn.ReLU, layer=nn.Linear), min_rate=0.9)
    with pytest.raises(
        ds.PropagationFailed,
        match=r"above max_rate=1\.05.*The weights of module \d+ have fan_in x variance",
    ):
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
    assert low < found.rate - 3 * found.stderr, (
        "18 steps: Student's t is wider than 3 standard errors"
    )
    ds.assert_propagation(trace, max_rate=low * 1.0001)
    with pytest.raises(ds.PropagationFailed):
        ds.assert_propagation(trace, max_rate=low * 0.9999)
    ds.assert_propagation(trace, max_rate=None, min_rate=high * 0.9999)
    with pytest.raises(ds.PropagationFailed):
        ds.assert_propagation(trace, max_rate=None, min_rate=high * 1.0001)


def test_without_depth_there_is_a_clear_error() -> None:
    with pytest.raises(ds.InvalidProbe, match="nothing repeats three times"):
        ds.assert_propagation(nn.Linear(4, 4), torch.randn(2, 4))
    with pytest.raises(
        ds.UnreliableGrowth, match="4 repetitions of linear-relu leave 2 whole steps"
    ):
        ds.assert_propagation(*mlp(4, nn.ReLU))


def test_it_takes_the_arguments_of_probe() -> None:
    network, x = mlp(20, batch_norm, nn.ReLU)
    with pytest.raises(ds.PropagationFailed):
        ds.assert_propagation(network, x, mode="train")
    ds.assert_propagation(network, x, mode="eval")
    assert Thresholds().z_score == 3.0, "as sure as the diagnosis"
    assert x.shape == (BATCH, WIDTH)


def test_findings_fail_where_no_rate_can_be_asked_for() -> None:
    """A network in which nothing repeats, and one of two steps, have no rate to limit. Of a good
    and a bad branch one passes, the other fails with what is wrong and where."""
    torch.manual_seed(0)
    good, bad = ds.probe(*beside(1.0)), ds.probe(*beside(0.03))
    short = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 4))
    for trace, refused in (
        (ds.probe(short, torch.randn(BATCH, WIDTH)), ds.InvalidProbe),
        (ds.probe(*mlp(4, nn.ReLU)), ds.UnreliableGrowth),
    ):
        with pytest.raises(refused, match=r'max_rate=None, fail_on="warn"'):
            ds.assert_propagation(trace)
    assert ds.assert_propagation(good, max_rate=None, fail_on="warn") is good
    with pytest.raises(
        ds.PropagationFailed, match=r"fail_on='warn':\n  warn: branch-vanishes at branch\.\d+"
    ):
        ds.assert_propagation(bad, max_rate=None, fail_on="warn")
    assert ds.assert_propagation(bad, max_rate=None, fail_on="error") is bad, (
        "a warning is no error"
    )
    assert ds.assert_propagation(bad, max_rate=None) is bad, "findings are not asked for"


def test_findings_are_asked_for_beside_the_rates() -> None:
    torch.manual_seed(0)
    odd = ds.probe(*one_layer(20, 10, 100.0))
    ds.assert_propagation(odd)
    with pytest.raises(ds.PropagationFailed, match="gradient-jumps at 20"):
        ds.assert_propagation(odd, fail_on="warn")
    with pytest.raises(ds.PropagationFailed, match="above max_rate"):
        ds.assert_propagation(*mlp(20, batch_norm, nn.ReLU), fail_on="warn")
    ds.assert_propagation(*mlp(20, nn.ReLU), fail_on="warn", min_rate=0.9)


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (
            {"max_rate": "1.05"},
            r"max_rate must be a positive number, as 1\.05, or None for no limit, got '1\.05'",
        ),
        ({"min_rate": 0}, "min_rate must be a positive number"),
        ({"max_rate": float("nan")}, "max_rate must be a positive number"),
        ({"min_rate": True}, "min_rate must be a positive number"),
        ({"min_rate": 1.2}, r"no rate is at least min_rate=1\.2 and at most max_rate=1\.05"),
        ({"fail_on": "wran"}, "fail_on must be one of info, warn, error, or None, got 'wran'"),
    ],
)
def test_limits_that_mean_nothing_are_refused_before_anything_runs(limits, said: str) -> None:
    with pytest.raises(ds.InvalidProbe, match=said):
        ds.assert_propagation(None, **limits)


def test_a_recurrent_net_that_vanishes_fails() -> None:
    """By its findings; its rate passes as long as no min_rate is asked for."""
    torch.manual_seed(0)
    trace = ds.probe(Unrolled(), torch.randn(8, 40, 16))
    assert ds.diagnose(trace).findings[0].rule == "gradient-vanishes"
    ds.assert_propagation(trace)
    with pytest.raises(ds.PropagationFailed, match="gradient-vanishes"):
        ds.assert_propagation(trace, fail_on="error")


class Unrolled(nn.Module):
    """A GRU cell over time, read at its end."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(16, 32)

    def forward(self, x: Tensor) -> Tensor:
        h = x.new_zeros(len(x), 32)
        for step in x.unbind(1):
            h = self.cell(step, h)
        return h
