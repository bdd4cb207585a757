"""Two traces of one model, before and after a change."""

from math import log, nan, sqrt

import numpy as np
import pytest
import torch
from scipy.special import log_ndtr
from torch import nn

import depthscale as ds
from depthscale.numerics.student import as_sure_as, normal_deviate
from known_networks import WIDTH, batch_norm, mlp


def traced(*after, change=lambda network: None, **how) -> ds.Trace:
    torch.manual_seed(0)
    network, x = mlp(20, *after, **how)
    change(network)
    return ds.probe(network, x)


def test_a_layer_that_doubles_its_output_is_found() -> None:
    before = traced(nn.ReLU)
    after = traced(nn.ReLU, change=lambda network: network[20].weight.data.mul_(2))
    found = ds.compare(before, after)
    assert found["18"].activation == 0  # below it: the same values
    assert found["20"].activation == pytest.approx(2, abs=1e-5)  # mean square x4
    assert found["38"].activation == pytest.approx(2, abs=1e-5)
    assert found["18"].gradient == pytest.approx(2, abs=1e-4)
    assert found["20"].gradient == pytest.approx(0, abs=1e-5)
    assert found.largest[0].size == pytest.approx(2, abs=1e-4)
    assert (found.only_before, found.only_after) == ((), ())


def test_the_rates_lie_apart_in_standard_errors() -> None:
    vanilla, normed = traced(nn.ReLU), traced(batch_norm, nn.ReLU)
    found = ds.compare(vanilla, normed)
    assert None not in found.growths
    assert found.standard_errors > 5
    assert ds.compare(normed, vanilla).standard_errors == pytest.approx(-found.standard_errors)
    assert ds.compare(vanilla, vanilla).standard_errors == 0
    assert found.only_after
    said = (
        f"apart by a normal deviate of {found.standard_errors:+.1f}, as unlikely as Student's "
        "t of the difference"
    )
    assert said in repr(found)


def test_no_face_takes_a_normal_deviate_for_a_number_of_standard_errors() -> None:
    """Two seeds each, 2 degrees of freedom: the difference over its error is a third larger, and
    more, where it matters."""
    a, b = (
        ds.simulate(ds.NetSpec(depth=9, width=16, batch=8, norm=norm), seeds=2)
        for norm in ("none", "batch")
    )
    found = ds.compare(b, a)
    t = abs(2.0 ** found["gradient"].log2_ratio - 1) / found["gradient"].relative_stderr
    assert (t > 2).any()
    assert (t > 4 / 3 * abs(found["gradient"].standard_errors))[t > 2].all()
    for face in (repr(found["gradient"]), found["gradient"]._repr_html_()):
        assert "a normal deviate of" in face
        assert "standard errors" not in face


def test_without_a_rate_operations_are_compared_all_the_same() -> None:
    network, x = mlp(2, nn.ReLU)
    found = ds.compare(ds.probe(network, x), ds.probe(network, x))
    assert found.growths[0] is None
    assert found.standard_errors != found.standard_errors
    assert all(change.size == 0 for change in found.changes)
    assert "growth" not in repr(found)


def test_traces_that_share_no_operation_are_refused() -> None:
    class Other(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(WIDTH, 4)

        def forward(self, x):
            return self.fc(x)

    with pytest.raises(
        ds.InvalidProbe,
        match=r"no operation of Sequential has its name in Other \(0, 1, 2 against fc\)",
    ):
        ds.compare(traced(nn.ReLU), ds.probe(Other(), torch.randn(4, WIDTH)))
    with pytest.raises(TypeError, match="two Profiles or two Traces, got Trace and int"):
        ds.compare(traced(nn.ReLU), 3)  # type: ignore[call-overload]


def test_students_t_in_normal_deviates_and_back() -> None:
    """With 2 degrees of freedom the tail is 1/2 - t / (2 sqrt(2 + t^2)), in closed form."""
    t = as_sure_as(3.0, 2)
    assert 0.5 - t / (2 * sqrt(2 + t * t)) == pytest.approx(0.0013498980316301, rel=1e-6)
    assert float(normal_deviate(torch.tensor(t).double().numpy(), 2)) == pytest.approx(3.0)
    assert as_sure_as(3.0, float("inf")) == 3.0
    far = float(normal_deviate(np.array(1e200), 2))  # the tail is 1 / (2 t^2) there, below float64
    assert float(log_ndtr(-far)) == pytest.approx(-log(2) - 400 * log(10), rel=1e-12)
    near = normal_deviate(np.array([-1e3, 35.0, 1e3, 1e5]), 300)
    assert np.isfinite(near).all()
    assert (np.diff(near) > 0).all()
    assert nan != as_sure_as(3.0, 9) > 3.9
