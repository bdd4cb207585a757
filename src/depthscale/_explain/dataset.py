"""Pictures to train on: scikit-learn's digits, or files in the idx format of Fashion-MNIST."""

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from depthscale.errors import InvalidSpec

DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # of the package dataset-fashion-mnist
_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_MOST_TRAIN, _MOST_TEST = 20_000, 2_000
_HELD_OUT = 360  # of the 1797 digits


@dataclass(frozen=True, eq=False)
class Dataset:
    """Inputs [samples, pixels] of mean 0 and variance 1 over the training set; labels 0 to classes
    - 1."""

    name: str
    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor

    @property
    def classes(self) -> int:
        return int(self.train_labels.max()) + 1


def load_dataset(folder: Path | None = None) -> Dataset:
    """Fashion-MNIST (or what has its file names) from a folder; where none is named scikit-learn's
    digits, or Debian's files.

    raises: InvalidSpec where the files or scikit-learn are missing.
    """
    if folder is not None:
        return fashion(folder)
    try:
        return digits()
    except InvalidSpec:
        if DEBIAN.is_dir():
            return fashion(DEBIAN)
        raise


def digits() -> Dataset:
    """1797 handwritten digits of 8 x 8 pixels, 360 of them held out."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        other = "or name a folder of Fashion-MNIST's idx files with --data"
        raise InvalidSpec(
            f"the digits come with scikit-learn: pip install scikit-learn, {other}"
        ) from None
    pixels, labels = (np.asarray(each) for each in load_digits(return_X_y=True))
    order = np.random.default_rng(0).permutation(len(labels))
    pixels, labels = pixels[order].astype(np.float32), labels[order]
    parts = pixels[_HELD_OUT:], labels[_HELD_OUT:], pixels[:_HELD_OUT], labels[:_HELD_OUT]
    return _standardized("digits", *parts)


def fashion(folder: Path) -> Dataset:
    """The first 20,000 training and 2,000 test pictures of idx files, gzipped or not."""
    images, labels, test, test_labels = (_idx(folder, name) for name in _FILES)
    images, labels = images[:_MOST_TRAIN], labels[:_MOST_TRAIN]
    test, test_labels = test[:_MOST_TEST], test_labels[:_MOST_TEST]
    if len(images) != len(labels) or len(test) != len(test_labels) or images.ndim != 3:
        raise InvalidSpec(f"{folder}: its idx files do not belong together")
    flat = (each.reshape(len(each), -1).astype(np.float32) for each in (images, test))
    return _standardized(folder.name, next(flat), labels, next(flat), test_labels)


def _idx(folder: Path, name: str) -> np.ndarray:
    """One idx file as an array of bytes. / source: the format's description at the MNIST database:
    a magic number and sizes."""
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            content = (
                gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            )
            dimensions = content[3] if content[:3] == b"\0\0\x08" else 0
            shape = np.frombuffer(content, ">u4", dimensions, 4) if dimensions else np.array([])
            if not dimensions or len(content) != 4 + 4 * dimensions + int(shape.prod()):
                raise InvalidSpec(f"{path} is not an idx file of bytes")
            return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
    raise InvalidSpec(
        f"{folder} has no {name} or {name}.gz; name a folder of Fashion-MNIST's four idx files"
    )


def _standardized(
    name: str, train: np.ndarray, labels: np.ndarray, test: np.ndarray, test_labels: np.ndarray
) -> Dataset:
    mean, std = train.mean(), train.std()
    inputs = (torch.from_numpy((each - mean) / std) for each in (train, test))
    return Dataset(
        name,
        next(inputs),
        torch.from_numpy(labels.astype(np.int64)),
        next(inputs),
        torch.from_numpy(test_labels.astype(np.int64)),
    )
