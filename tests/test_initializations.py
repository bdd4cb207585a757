"""Initializations by name have the variances of what torch draws."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from depthscale.errors import InvalidSpec
from depthscale.nets import simulate
from depthscale.network.initializations import INITIALIZATIONS, initialization
from depthscale.network.spec import NetSpec, Residual
from depthscale.theory import predict
from tolerances import within

FAN_OUT, FAN_IN = 300, 500
DRAWS = {
    "xavier_normal": nn.init.xavier_normal_,
    "xavier_uniform": nn.init.xavier_uniform_,
    "kaiming_normal": nn.init.kaiming_normal_,
    "kaiming_uniform": nn.init.kaiming_uniform_,
    "kaiming_normal(0.3)": lambda w: nn.init.kaiming_normal_(w, 0.3),
    "lecun_normal": lambda w: nn.init.kaiming_normal_(w, nonlinearity="linear"),
    "orthogonal": nn.init.orthogonal_,
    "normal(0.02)": lambda w: nn.init.normal_(w, std=0.02),
    "truncated_normal": nn.init.trunc_normal_,
    "truncated_normal(0.02)": lambda w: nn.init.trunc_normal_(w, std=0.02),
    "truncated_normal(1.7)": lambda w: nn.init.trunc_normal_(w, std=1.7),
}


@pytest.mark.parametrize(
    "shape", [(FAN_OUT, FAN_IN), (FAN_IN, FAN_OUT), (100, 40, 3, 3)], ids=["wide", "tall", "conv"]
)
@pytest.mark.parametrize("name", DRAWS)
def test_the_variance_is_that_of_torchs_draws(name: str, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    weight = torch.empty(shape)
    DRAWS[name](weight)
    fan_in, fan_out = (int(np.prod([shape[i], *shape[2:]])) for i in (1, 0))
    if name == "orthogonal" and len(shape) > 2:
        fan_out = shape[0]  # torch makes rows of one output channel orthogonal, not of one tap
    squares = fan_in * weight.double().square().flatten()
    found = initialization(name, fan_in, fan_out).sigma_w2
    if name == "orthogonal":  # every row, or column, has norm 1
        assert float(squares.mean()) == pytest.approx(found, rel=1e-5)
        return
    stderr = float(squares.std() / len(squares) ** 0.5)
    within(float(squares.mean()), found, stderr)
    with pytest.raises(AssertionError):
        within(float(squares.mean()), 1.05 * found, stderr)


@pytest.mark.parametrize(
    "layer", [nn.Linear(400, 700), nn.Conv2d(40, 60, 3)], ids=["linear", "conv"]
)
def test_torchs_default_is_a_third_and_its_bias_a_third_of_1_over_fan_in(layer: nn.Module) -> None:
    torch.manual_seed(0)
    layer.reset_parameters()  # pyright: ignore[reportCallIssue]
    weight, bias = (layer.get_parameter(name).detach().double() for name in ("weight", "bias"))
    fan_in = weight[0].numel()
    drawn = initialization("torch", fan_in, 1)
    for values, expected in (
        (fan_in * weight.square(), drawn.sigma_w2),
        (fan_in * bias.square(), fan_in * drawn.sigma_b2),
    ):
        within(float(values.mean()), expected, float(values.std() / values.numel() ** 0.5))
    assert drawn.sigma_w2 == pytest.approx(1 / 3)


def test_torchs_default_divides_relus_gradient_by_6() -> None:
    profile = predict(NetSpec(weights="torch"))
    assert profile.gradient.log2_mean_square[1] - profile.gradient.log2_mean_square[
        2
    ] == pytest.approx(np.log2(1 / 6))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("he", "unknown initialization 'he'; choose one of torch"),
        ("torch(2)", "no parameter"),
        ("normal(x)", "at least 0"),
    ],
)
def test_what_means_nothing_is_refused(name: str, says: str) -> None:
    with pytest.raises(InvalidSpec, match=says):
        initialization(name, 10, 10)


@pytest.mark.parametrize(
    "name", [name for name in INITIALIZATIONS if name not in ("normal", "truncated_normal")]
)
def test_networks_drawn_so_show_what_is_predicted(name: str) -> None:
    spec = NetSpec(
        depth=4, widths=(300, 500, 200, 400, 300), activation="tanh", batch=8, weights=name
    )
    measured, theory = simulate(spec, seeds=24), predict(spec)
    for quantity in ("gradient", "activation"):
        ours, theirs = getattr(measured, quantity), getattr(theory, quantity)
        for layer in range(spec.depth + 1):
            ratio = 2.0 ** (ours.log2_mean_square[layer] - theirs.log2_mean_square[layer])
            within(ratio, 1.0, float(ours.relative_stderr[layer]), bias=0.02)


# ---- unequal widths


def test_with_unequal_widths_the_squared_norm_is_kept_and_the_mean_square_is_not() -> None:
    """He ReLU: the squared norm's factor is sigma_w2 E phi'^2 = 1 at any width, the mean square's
    that times fan_out / fan_in."""
    widths = (400, 100, 800, 200)
    profile = predict(NetSpec(depth=3, widths=widths))
    assert profile.gradient.mean_square == pytest.approx([200 / n for n in widths])
    places = list(profile.graph.places)
    norm2 = profile.readings.log2_gradient_norm2[:, places]
    assert norm2[0] == pytest.approx([np.log2(200)] * 4)
    assert profile.activation.mean_square == pytest.approx([1.0] * 4)
    measured = simulate(NetSpec(depth=3, widths=widths), seeds=40)
    found = np.exp2(measured.readings.log2_gradient_norm2[:, places]).mean(0) / 200
    for layer in range(3):
        within(float(found[layer]), 1.0, float(measured.gradient.relative_stderr[layer]))


def test_equal_widths_are_a_width() -> None:
    same = NetSpec(depth=2, widths=(64, 64, 64))
    assert same.width == 64
    assert same.graph() == NetSpec(depth=2, width=64).graph()
    assert (
        replace(same, norm="group", groups=8).graph()
        == NetSpec(depth=2, width=64, norm="group", groups=8).graph()
    )


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"widths": (3, 3)}, "widths must be 11 whole numbers"),
        ({"depth": 1, "widths": (3, 0)}, "at least 1, got 0"),
        ({"depth": 1, "widths": (8, 8), "residual": Residual()}, "keeps its width"),
        (
            {"depth": 1, "widths": (8, 7), "norm": "group", "groups": 4},
            "do not divide a width of 7",
        ),
        ({"weights": "torch", "sigma_w2": 1.0}, "sets sigma_w2 and sigma_b2"),
        ({"weights": "torch(3)"}, "takes no parameter"),
    ],
)
def test_widths_and_weights_that_contradict_are_refused(fields: dict, says: str) -> None:
    with pytest.raises(InvalidSpec, match=says):
        NetSpec(**fields)
