"""Training many networks at once is training each; the data are read whole or refused."""

import gzip
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from depthscale._explain import training
from depthscale._explain.dataset import Dataset, load_dataset
from depthscale._explain.trainability import Matter, matter, read_matter
from depthscale._explain.training import EPS, Settings, Variant, train
from depthscale.errors import InvalidSpec
from depthscale.nets.draw import draw_rows
from depthscale.network.operations import Linear

TINY = Settings(width=16, batch=16, steps=8)


def _toy(samples: int = 64) -> Dataset:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(samples, 9, generator=generator)
    labels = (x[:, 0] > 0).long() + 2 * (x[:, 1] > 0).long()
    return Dataset("toy", x[:48], labels[:48], x[48:], labels[48:])


def _alone(data: Dataset, depth: int, rate: float, seed: int, normed: bool) -> tuple[float, float]:
    """One network by torch's own modules and SGD: |dE/dy_1| / |dE/dy_L| at step 0, and the last
    layer's norm in the end."""
    sizes = [data.train.shape[1], *[TINY.width] * depth]
    layers = [nn.Linear(a, b, bias=False) for a, b in pairwise(sizes)] + [
        nn.Linear(TINY.width, data.classes, bias=False)
    ]
    for n, layer in enumerate(layers, start=1):
        layer.weight.data = draw_rows(
            Linear(layer.in_features, layer.out_features, 2.0 if n <= depth else 1.0, 0.0), seed, n
        )
    optimizer = torch.optim.SGD([p for layer in layers for p in layer.parameters()], lr=rate)
    generator, ratio = torch.Generator().manual_seed(seed), 0.0
    for step in range(TINY.steps):
        rows = torch.randint(len(data.train), (TINY.batch,), generator=generator)
        x, ys = data.train[rows], []
        for layer in layers[:-1]:
            ys.append(layer(x))
            x = torch.relu(
                F.batch_norm(ys[-1], None, None, training=True, eps=EPS) if normed else ys[-1]
            )
        loss = F.cross_entropy(layers[-1](x), data.train_labels[rows])
        if step == 0:
            first, last = torch.autograd.grad(loss, [ys[0], ys[-1]], retain_graph=True)
            ratio = float(first.norm() / last.norm())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return ratio, float(layers[-1].weight.detach().norm())


@pytest.mark.parametrize("network", Variant)
def test_networks_side_by_side_are_networks_alone(
    network: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends: list[torch.Tensor] = []
    finish = training._trained
    monkeypatch.setattr(training, "_trained", lambda *args: ends.extend(args[6]) or finish(*args))
    data, rates, seeds = _toy(), (0.01, 0.3), (4, 5)
    runs = train(data, network, 3, rates, seeds, TINY)
    for n, run in enumerate(runs):
        ratio, norm = _alone(data, 3, run.rate, run.seed, network is Variant.BATCH_NORM)
        assert run.ratios[0] == pytest.approx(ratio, rel=1e-4)
        assert float(ends[-1][n].detach().norm()) == pytest.approx(norm, rel=1e-4)
    assert [(run.seed, run.rate) for run in runs] == [(s, r) for s in seeds for r in rates]


def test_a_network_that_leaves_the_numbers_counts_as_a_guess_and_leaves_its_neighbours_alone() -> (
    None
):
    wild, calm = train(_toy(), Variant.VANILLA, 3, (1e4, 0.01), (0,), Settings(16, 16, 40))
    assert wild.diverged
    assert wild.accuracy == 1 / 4
    assert not calm.diverged
    alone = train(_toy(), Variant.VANILLA, 3, (0.01,), (0,), Settings(16, 16, 40))[0]
    assert calm.train_accuracy == pytest.approx(alone.train_accuracy)


@pytest.fixture(scope="module")
def found() -> Matter:
    return matter(
        depths=(4, 24), rates=(0.01, 0.1), seeds=2, settings=Settings(width=64, batch=32, steps=60)
    )


def test_batch_norm_starts_with_theorys_ratio_and_loses_it_in_the_first_steps(
    found: Matter,
) -> None:
    """Width 64 over 32 samples: one network's ratio varies by about a fifth around theory's, on the
    data's own Gram matrix."""
    deep = found.of(Variant.BATCH_NORM)[-1]
    assert deep.predicted > 60
    assert abs(np.log(deep.ratios[0] / deep.predicted)) < 0.6
    assert deep.ratios[-1] < deep.ratios[0] / 3
    assert abs(np.log(found.of(Variant.VANILLA)[-1].predicted)) < 0.2


def test_the_reading_has_the_runs_numbers(found: Matter) -> None:
    said = " ".join(read_matter(found))
    assert f"{found.of(Variant.BATCH_NORM)[-1].accuracy:.2f} at 24" in said
    assert "60 steps of plain SGD" in said
    assert found.trainable_depth == pytest.approx(
        38.1, abs=0.3
    )  # 16 / ln 1.522, theorem 8 of arXiv:1902.08129 at B = 32


def _write_idx(path: Path, values: np.ndarray) -> None:
    content = (
        bytes([0, 0, 8, values.ndim])
        + b"".join(n.to_bytes(4, "big") for n in values.shape)
        + values.astype(np.uint8).tobytes()
    )
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def test_idx_files_are_read_gzipped_or_not(tmp_path: Path) -> None:
    pictures, labels = np.arange(40 * 6).reshape(40, 2, 3) % 256, np.arange(40) % 10
    _write_idx(tmp_path / "train-images-idx3-ubyte.gz", pictures)
    _write_idx(tmp_path / "train-labels-idx1-ubyte", labels)
    _write_idx(tmp_path / "t10k-images-idx3-ubyte", pictures[:7])
    _write_idx(tmp_path / "t10k-labels-idx1-ubyte.gz", labels[:7])
    data = load_dataset(tmp_path)
    assert data.train.shape == (40, 6)
    assert data.test_labels.tolist() == labels[:7].tolist()
    flat = torch.from_numpy(pictures.reshape(40, 6)).float()
    torch.testing.assert_close(data.train, (flat - flat.mean()) / flat.std(correction=0))
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(
        gzip.compress(b"\0\0\x08\x01\0\0\0\x09abc")
    )
    with pytest.raises(InvalidSpec, match="is not an idx file"):
        load_dataset(tmp_path)


def test_missing_data_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidSpec, match=r"has no train-images-idx3-ubyte"):
        load_dataset(tmp_path)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    monkeypatch.setattr(sys.modules["depthscale._explain.dataset"], "DEBIAN", tmp_path / "absent")
    with pytest.raises(InvalidSpec, match="pip install scikit-learn"):
        load_dataset()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"seeds": 1}, "at least 2 seeds"),
        ({"depths": (2,)}, "depths must be at least 3"),
        ({"rates": (0.0,)}, "between 0 and 100"),
        ({"settings": Settings(steps=2)}, "at least 6 steps"),
    ],
)
def test_settings_that_show_nothing_are_refused(changes: dict, says: str) -> None:
    with pytest.raises(InvalidSpec, match=says):
        matter(**changes)
