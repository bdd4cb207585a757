"""The walk of whole matrices: equal to the small one on white inputs, and to real networks on real
data."""

import gzip
from dataclasses import replace
from functools import cache
from math import inf
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from depthscale.errors import InvalidSpec, Undefined, UnreliableGrowth
from depthscale.measure import growth
from depthscale.nets import simulate
from depthscale.network.spec import NetSpec, Residual
from depthscale.theory import predict

DEPTH = 14


def white(batch: int) -> np.ndarray:
    """Inputs whose second moments are exactly white: orthogonal rows."""
    q, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((256, batch)))
    return 16 * q.T


@pytest.mark.parametrize("loss", ["independent", "shared"])
@pytest.mark.parametrize(
    "spec",
    [
        NetSpec(depth=6, norm="batch", batch=16),
        NetSpec(depth=6, norm="batch", batch=12, activation="tanh", eps=0.2, gamma=1.3, beta=0.4),
        NetSpec(depth=6, norm="batch", batch=16, statistics="frozen"),
        NetSpec(depth=6, norm="layer", batch=16, activation="gelu", position="after"),
        NetSpec(depth=6, batch=16, activation="tanh", sigma_w2=1.5, sigma_b2=0.05),
        NetSpec(depth=6, norm="batch", batch=16, residual=Residual("pre", 0.7, 2)),
        NetSpec(depth=6, norm="weight_standardized", gamma=1.4, batch=16),
    ],
    ids=str,
)
def test_both_forms_agree_on_white_inputs(spec: NetSpec, loss: str) -> None:
    small, full = predict(spec, loss), predict(spec, loss, inputs=white(int(spec.batch)))
    for name in ("gradient", "activation"):
        ours, theirs = getattr(full, name), getattr(small, name)
        ratio = np.exp2(ours.log2_mean_square - theirs.log2_mean_square)
        error = np.hypot(ours.relative_stderr, theirs.relative_stderr)
        assert (np.abs(ratio - 1) <= 5 * error + 2e-3).all(), (
            name,
            ratio,
            error,
        )  # the bias of so many neurons is O(1/n)


def test_more_virtual_neurons_are_taken_until_the_error_is_small() -> None:
    spec = NetSpec(depth=4, norm="batch", batch=16)
    coarse, fine = (predict(spec, inputs=white(16), error=error) for error in (0.05, 0.005))
    assert coarse.gradient.relative_stderr.max() <= 0.05
    assert fine.gradient.relative_stderr.max() <= 0.005
    assert "virtual neurons" in fine.notes[0]


FASHION_MNIST = Path(
    "/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz"
)  # of the Debian package dataset-fashion-mnist


@cache
def images() -> np.ndarray:
    """Pictures of clothes where the package is installed, else handwritten digits; standardized
    over all pixels, shuffled.

    returns: [images, 784] or [images, 64].
    """
    if FASHION_MNIST.exists():
        pixels = (
            np.frombuffer(gzip.decompress(FASHION_MNIST.read_bytes()), np.uint8, offset=16)
            .reshape(-1, 784)
            .astype(float)
        )
    else:
        pixels = load_digits(return_X_y=True)[0]
    shuffled = np.random.default_rng(0).permutation(pixels)[:2048]
    return (shuffled - shuffled.mean()) / shuffled.std()


def batches(size: int, count: int, width: int) -> list[torch.Tensor]:
    """Batches of images, padded with zeros to the width."""
    found, entries = [], images().shape[1]
    for i in range(count):
        padded = np.zeros((size, width))
        padded[:, :entries] = images()[i * size : (i + 1) * size] * (width / entries) ** 0.5
        found.append(torch.tensor(padded, dtype=torch.float32))
    return found


@pytest.mark.parametrize("batch", [pytest.param(128, marks=pytest.mark.slow), 16])
def test_gradient_ratios_on_images_are_predicted_within_2_percent(batch: int) -> None:
    """14 layers of Batch Norm, the transient of the first layers included; 64 pairs of seed and
    batch."""
    spec = NetSpec(depth=DEPTH, width=max(512, images().shape[1]), norm="batch", batch=batch)
    measured, predicted = [], []
    for i, inputs in enumerate(batches(batch, 8, spec.width)):
        samples = simulate(spec, seeds=8, seed=8 * i, inputs=inputs).gradient.log2_samples
        assert samples is not None
        measured.append(samples)
        predicted.append(
            predict(spec, inputs=inputs, error=0.02).gradient.log2_mean_square
        )  # eight of them are averaged
    ratios = np.exp2(-np.diff(np.concatenate(measured), axis=1))
    theory = np.exp2(-np.diff(np.repeat(predicted, 8, axis=0), axis=1))
    relative = ratios / theory
    stderr = relative.std(axis=0, ddof=1) / np.sqrt(len(relative))
    assert (np.abs(relative.mean(axis=0) - 1) <= 0.02 + stderr).all(), relative.mean(axis=0).round(
        3
    )
    bulk = predict(spec).gradient.log2_mean_square
    transient = theory.mean(axis=0)[1] / 2 ** (bulk[1] - bulk[2])
    assert (
        transient > 1.03
    )  # images are no white noise: their first layers grow faster, and theory says so


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        (np.ones((8, 3)), r"must be \[16, entries\], got shape \(8, 3\)"),
        (np.ones(16), r"must be \[16, entries\], got shape \(16,\)"),
        (np.full((16, 3), np.nan), "must be finite, got 48 that are nan or inf"),
        (np.full((16, 3), inf), "must be finite, got 48 that are nan or inf"),
    ],
    ids=["batch", "flat", "nan", "inf"],
)
def test_inputs_that_do_not_fit_are_refused(inputs: np.ndarray, reason: str) -> None:
    with pytest.raises(InvalidSpec, match=reason):
        predict(NetSpec(batch=16, norm="batch"), inputs=inputs)


@pytest.mark.parametrize("error", [0, -1, np.nan, "x"])
def test_an_error_that_nothing_reaches_is_refused(error: object) -> None:
    with pytest.raises(InvalidSpec, match="error must be a number above 0"):
        predict(NetSpec(depth=3, batch=4, width=8), inputs=np.eye(4, 8), error=error)  # type: ignore[arg-type]


@pytest.mark.parametrize(("apart", "refused"), [(0.0, True), (1e-9, True), (1e-4, False)])
def test_equal_samples_under_batch_norm_are_refused(apart: float, refused: bool) -> None:
    rows = np.ones((16, 32)) + apart * np.random.default_rng(0).standard_normal((16, 32))
    spec = NetSpec(depth=3, width=32, batch=16, norm="batch", eps=1e-5)
    if refused:
        with pytest.raises(Undefined, match="equal but for rounding"):
            predict(spec, inputs=rows)
    else:
        assert np.isfinite(predict(spec, inputs=rows).gradient.log2_mean_square).all()
    predict(replace(spec, statistics="running"), inputs=rows)
    predict(replace(spec, norm="layer", eps=0.0), inputs=rows)


def test_zero_inputs_have_no_rate_because_the_gradient_is_zero() -> None:
    zero = predict(NetSpec(depth=8, width=32, batch=16), inputs=np.zeros((16, 32)))
    with pytest.raises(UnreliableGrowth, match="the gradient is 0 there"):
        growth(zero)


def test_simulate_takes_inputs_of_the_networks_size() -> None:
    spec = NetSpec(depth=3, width=32, batch=8)
    given = torch.randn(8, 32, generator=torch.Generator().manual_seed(1))
    for each in (spec, replace(spec, norm="layer")):
        profile = simulate(each, seeds=2, inputs=given)
        assert np.allclose(profile.activation.mean_square[0], float(given.double().square().mean()))
    with pytest.raises(InvalidSpec, match=r"\[batch, width\] = \[8, 32\], got \[8, 3\]"):
        simulate(spec, seeds=1, inputs=torch.zeros(8, 3))


def test_group_rms_is_the_same_in_both_forms() -> None:
    spec = NetSpec(depth=4, width=512, norm="group_rms", groups=64, batch=8)
    exact, sampled = predict(spec), predict(spec, inputs=white(8), error=0.005)
    assert np.abs(
        exact.gradient.log2_mean_square - sampled.gradient.log2_mean_square
    ).max() < np.log2(1 + 4 * 0.007)


@pytest.mark.parametrize(("norm", "batch"), [("batch", 12), ("group", 8), ("group_rms", 8)])
def test_a_small_norm_of_a_sum_is_sampled_and_is_what_networks_show(norm: str, batch: int) -> None:
    spec = NetSpec(
        depth=4,
        width=256,
        norm=norm,
        groups=32,
        batch=batch,
        activation="gelu",
        residual=Residual("post", 0.7),
    )
    theory = predict(spec)
    assert "virtual neurons" in theory.notes[0]
    assert theory.inputs == "white noise"
    found, expected = simulate(spec, seeds=48).gradient, theory.gradient
    off = np.exp2(found.log2_mean_square - expected.log2_mean_square) - 1
    assert (
        np.abs(off) < 4 * np.hypot(found.relative_stderr, expected.relative_stderr) + 0.01
    ).all()


def test_a_large_norm_of_a_sum_is_not_sampled() -> None:
    theory = predict(
        NetSpec(depth=1000, width=256, norm="batch", batch=100, residual=Residual("post"))
    )
    assert "stops at norm" in theory.notes[0]
