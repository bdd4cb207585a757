"""Several runs: of one model before and after a change, of a model and of theory, of networks."""

from math import log, nan, sqrt
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import log_ndtr
from torch import nn

import depthscale as ds
from depthscale.network.operations import Input, Linear, Unknown
from depthscale.numerics.student import as_sure_as, normal_deviate
from depthscale.theory import predict_graph
from graphs import chain
from known_networks import WIDTH, batch_norm, mlp


def traced(*after, change=lambda network: None, **how) -> ds.Run:
    torch.manual_seed(0)
    network, x = mlp(20, *after, **how)
    change(network)
    return ds.probe(network, x)


def test_a_layer_that_doubles_its_output_is_found() -> None:
    before = traced(nn.ReLU)
    after = traced(nn.ReLU, change=lambda network: network[20].weight.data.mul_(2))
    found = ds.compare({"before": before, "after": after})
    at, change = found.rows.index, found["after"]
    assert found.by == "operation"
    assert change.activation.log2_ratio[at("18")] == 0  # below it: the same values
    # mean square x4
    assert change.activation.log2_ratio[at("20")] == pytest.approx(2, abs=1e-5)
    assert change.activation.log2_ratio[at("38")] == pytest.approx(2, abs=1e-5)
    assert change.gradient.log2_ratio[at("18")] == pytest.approx(2, abs=1e-4)
    assert change.gradient.log2_ratio[at("20")] == pytest.approx(0, abs=1e-5)
    assert change.size[found.largest("after")[0]] == pytest.approx(2, abs=1e-4)
    assert (change.only_first, change.only_this) == ((), ())


def test_the_rates_lie_apart_in_standard_errors() -> None:
    vanilla, normed = traced(nn.ReLU), traced(batch_norm, nn.ReLU)
    found = ds.compare(vanilla, normed)
    apart = found.second.z_score
    assert None not in found.growths.values()
    assert apart > 5
    assert ds.compare(normed, vanilla).second.z_score == pytest.approx(-apart)
    assert ds.compare(vanilla, vanilla).second.z_score == 0
    assert (found.by, found.second.only_first, found.second.only_this) == ("place", (), ())
    assert found.label("Sequential (2)", 1) == "5 against 3"
    assert f"{found.label('Sequential (2)', 0)} gradient x" in repr(found)
    said = (
        f"Sequential (2) apart from Sequential (1) by a normal deviate of {apart:+.1f}, "
        "as unlikely as Student's t of the difference"
    )
    assert said in repr(found)


def test_no_face_takes_a_normal_deviate_for_a_number_of_standard_errors() -> None:
    """Two networks each, 2 degrees of freedom: the difference over its error is a third larger,
    and more, where it matters."""
    a, b = (
        ds.simulate(ds.NetSpec(depth=9, width=16, batch=8, norm=norm), seeds=2)
        for norm in ("none", "batch")
    )
    found = ds.compare(a, b)
    gradient = found.second.gradient
    t = abs(2.0**gradient.log2_ratio - 1) / gradient.relative_stderr
    assert (t > 2).any()
    assert (t > 4 / 3 * abs(gradient.z_score))[t > 2].all()
    for face in (repr(found), found._repr_html_()):
        assert "a normal deviate of" in face
        assert "standard errors" not in face


def test_without_a_rate_operations_are_compared_all_the_same() -> None:
    network, x = mlp(2, nn.ReLU)
    found = ds.compare(ds.probe(network, x), ds.probe(network, x))
    assert list(found.growths.values()) == [None, None]
    assert found.second.z_score != found.second.z_score
    assert len(found.rows) == 4
    assert (found.second.size == 0).all()
    assert "growth" not in repr(found)


def test_runs_that_share_neither_operations_nor_a_depth_are_refused() -> None:
    class Other(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(WIDTH, 4)

        def forward(self, x):
            return self.fc(x)

    with pytest.raises(
        ds.InvalidProbe,
        match=r"Sequential, batch 64 and Other, batch 4 share neither operations of one name "
        r"\(0, 1, 2 \.\.\.\) nor a depth",
    ):
        ds.compare(traced(nn.ReLU), ds.probe(Other(), torch.randn(4, WIDTH)))
    with pytest.raises(TypeError, match="takes runs, or a mapping of runs by name, got int"):
        ds.compare(traced(nn.ReLU), 3)  # type: ignore[arg-type]
    with pytest.raises(ds.InvalidProbe, match="takes two runs or more, got 1"):
        ds.compare(traced(nn.ReLU))


def test_an_operation_that_became_another_is_named_on_both_sides() -> None:
    def saturated(network: nn.Sequential) -> None:
        network[21] = nn.Tanh()

    found = ds.compare(traced(nn.ReLU), traced(nn.ReLU, change=saturated))
    assert "21" not in found.rows
    assert (found.second.only_first, found.second.only_this) == (("21",), ("21",))


def test_runs_of_different_graphs_are_aligned_by_place() -> None:
    """Towards the input, a residual ReLU network of sigma_w2 = 2 doubles the squared gradient in
    each layer, and a plain one of sigma_w2 = 4 too; one of sigma_w2 = 2 keeps it."""
    plain, doubling = (ds.predict(ds.NetSpec(depth=6, sigma_w2=s)) for s in (2.0, 4.0))
    residual = ds.predict(ds.NetSpec(depth=6, residual=ds.Residual()))
    found = ds.compare({"plain": plain, "residual": residual, "doubling": doubling})
    assert (found.by, len(found.rows)) == ("place", 7)
    assert len({len(run) for run in found.runs.values()}) == 2  # graphs
    assert {name: found.at[name] == run.graph.places for name, run in found.runs.items()} == (
        dict.fromkeys(("plain", "residual", "doubling"), True)
    )
    for name in ("residual", "doubling"):
        assert found[name].gradient.log2_ratio == pytest.approx(range(6, -1, -1), abs=1e-9)
        rate = found.growths[name]
        assert rate is not None
        assert rate.rate == pytest.approx(2)
    assert found["doubling"].activation.log2_ratio == pytest.approx(range(7), abs=1e-9)
    assert list(found.differences) == ["residual", "doubling"]
    assert found.second is found["residual"]


def test_of_models_the_places_are_where_steps_begin_and_end() -> None:
    """And a shallower one has the places nearest the input."""
    torch.manual_seed(0)
    runs = {
        "vanilla": ds.probe(*mlp(20, nn.ReLU)),
        "normed": ds.probe(*mlp(12, batch_norm, nn.ReLU)),
        "theory": ds.predict(ds.NetSpec(depth=30, width=WIDTH)),
    }
    found = ds.compare(runs)
    assert found.by == "place"
    assert found.rows == tuple(str(2 * layer + 1) for layer in range(11))
    assert [runs["normed"].ops[i].name for i in found.at["normed"]] == (
        [str(3 * layer + 2) for layer in range(11)]
    )
    assert found.at["theory"] == runs["theory"].graph.places[1:12]


def test_a_run_is_compared_with_its_own_prediction() -> None:
    run = traced(batch_norm, nn.ReLU)
    theory = ds.predict(run)
    found = ds.compare({"measured": run, "predicted": theory})
    assert found.by == "operation"
    assert found.rows == tuple(op.name for op in run.ops if not op.is_input)
    gradient, activation = found["predicted"].gradient, found["predicted"].activation
    for row, op in enumerate(run.ops[1:]):
        predicted = theory.ops[op.id]
        assert gradient.log2_ratio[row] == predicted.log2_gradient_ms - op.log2_gradient_ms
        assert activation.log2_ratio[row] == predicted.log2_activation_ms - op.log2_activation_ms
    assert np.abs(activation.log2_ratio).max() < 0.5
    assert abs(found["predicted"].z_score) < 4


def test_a_prediction_of_a_run_has_a_rate() -> None:
    """A ReLU keeps half of the squared gradient, and a layer multiplies it by width times the mean
    square of its weights."""
    torch.manual_seed(0)
    network, x = mlp(20, nn.ReLU)
    rate = ds.growth(ds.predict(ds.probe(network, x)))
    bulk = [layer.weight.detach().square().mean().item() for layer in network[2:38:2]]  # type: ignore[union-attr]
    assert rate.rate == pytest.approx(np.exp(np.log(bulk).mean()) * WIDTH / 2, rel=1e-6)
    assert (rate.stderr, rate.degrees, rate.steps) == (0, float("inf"), 18)


@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("residual", [None, ds.Residual()])
def test_the_ledger_of_a_described_run_closes(norm: str, residual: ds.Residual | None) -> None:
    """From the output to the input the widths are one, so what the account says of the squared norm
    the mean squares say, too."""
    spec = ds.NetSpec(depth=6, width=32, batch=16, norm=norm, residual=residual)
    for run in (ds.simulate(spec, seeds=3), ds.predict(spec)):
        account = ds.ledger(run)
        first, last = run.gradient.log2_mean_square[[0, -1]]
        assert account.closure_error < 1e-9
        assert account.open == ()
        assert account.total_log2_norm2 == pytest.approx(first - last)
        assert sum(entry.contribution for entry in account.entries) == pytest.approx(first - last)


def test_the_ledger_of_a_prediction_counts_what_joins_make() -> None:
    """A residual ReLU network of sigma_w2 = 2 doubles the squared gradient in each layer."""
    spec = ds.NetSpec(depth=6, residual=ds.Residual())
    assert ds.ledger(ds.predict(spec)).total_log2_norm2 == pytest.approx(6)


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


def test_a_prediction_is_its_own_theory_saved_or_not(tmp_path: Path) -> None:
    model = nn.Sequential(*[part for _ in range(4) for part in (nn.Linear(8, 8), nn.ReLU())])
    theory = ds.predict(ds.probe(model, torch.randn(16, 8)))
    ds.save(theory, tmp_path / "theory.json")
    assert ds.predict(theory) is theory
    loaded = ds.predict(ds.load(tmp_path / "theory.json"))
    np.testing.assert_array_equal(
        loaded.gradient.log2_mean_square, theory.gradient.log2_mean_square
    )


def test_a_prediction_that_stops_has_no_ledger_and_says_where() -> None:
    linear = Linear(8, 8, 1.0, 0.0)
    theory = predict_graph(chain(Input(1.0), linear, Unknown("fold"), linear))
    with pytest.raises(ds.UnreliableGrowth, match=r"the prediction stops at .*fold"):
        ds.ledger(theory)


def test_a_prediction_that_goes_on_with_measured_gains_has_a_ledger() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Softmax(-1), nn.Linear(8, 8))
    theory = ds.predict(ds.probe(model, torch.randn(16, 8)))
    assert not theory.ops[2].from_theory
    assert ds.ledger(theory).closure_error < 1e-9
