"""Tensors that a sketch cannot count are refused with what to do instead."""

import operator
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from depthscale.errors import DepthscaleError, UnsupportedTensor
from depthscale.sketch import Sketch


def quantized() -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # torch means to drop such tensors; as long as it has them they are refused
        return torch.quantize_per_tensor(torch.randn(8), 0.1, 0, torch.qint8)


def nested(layout: torch.layout) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls them a prototype
        return torch.nested.nested_tensor([torch.ones(3), torch.ones(5)], layout=layout)


def csr() -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls them beta
        return torch.eye(3).to_sparse_csr()


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "complex": (
        lambda: torch.zeros(2, dtype=torch.complex64),
        r"torch\.complex64; take \.real and \.imag, or \.abs\(\)",
    ),
    "integer": (
        lambda: torch.zeros(2, dtype=torch.int64),
        r"torch\.int64; convert it with \.float\(\)",
    ),
    "bytes": (
        lambda: torch.zeros(2, dtype=torch.uint8),
        r"torch\.uint8; convert it with \.float\(\)",
    ),
    "bool": (lambda: torch.zeros(2, dtype=torch.bool), r"torch\.bool; convert it with \.float\(\)"),
    "float8": (
        lambda: torch.zeros(2).to(torch.float8_e4m3fn),
        r"torch\.float8_e4m3fn; convert it with \.float\(\)",
    ),
    "float8 scale": (
        lambda: torch.ones(2).to(torch.float8_e8m0fnu),
        r"torch\.float8_e8m0fnu; convert it with \.float\(\)",
    ),
    "sparse": (
        lambda: torch.eye(3).to_sparse(),
        r"torch\.sparse_coo; convert it with \.to_dense\(\)",
    ),
    "sparse rows": (csr, r"torch\.sparse_csr; convert it with \.to_dense\(\)"),
    "quantized": (quantized, r"torch\.qint8; convert it with \.dequantize\(\)"),
    "meta": (
        lambda: torch.zeros(2, device="meta"),
        r"meta device has no values to count; move the model to a real device",
    ),
    "nested": (lambda: nested(torch.strided), r"nested one; add up the sketches of \.unbind\(\)"),
    "jagged": (lambda: nested(torch.jagged), r"nested one; add up the sketches of \.unbind\(\)"),
    "a list": (lambda: [1.0, 2.0], r"got list; wrap it with torch\.as_tensor"),
    "an array": (lambda: np.ones(3), r"got ndarray; wrap it with torch\.as_tensor"),
    "nothing": (lambda: None, r"got NoneType"),
}


@pytest.mark.parametrize(("make", "advice"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_counted_is_refused_with_advice(make: Callable[[], Tensor], advice: str):
    with pytest.raises(UnsupportedTensor, match=advice):
        Sketch.of(make())


@pytest.mark.parametrize(
    ("make", "follow"),
    [
        (quantized, lambda x: Sketch.of(x.dequantize())),
        (lambda: nested(torch.strided), lambda x: sum(map(Sketch.of, x.unbind()))),
        (lambda: nested(torch.jagged), lambda x: sum(map(Sketch.of, x.unbind()))),
        (csr, lambda x: Sketch.of(x.to_dense())),
        (lambda: torch.zeros(2).to(torch.float8_e4m3fn), lambda x: Sketch.of(x.float())),
    ],
)
def test_the_advice_leads_to_a_sketch(
    make: Callable[[], Tensor], follow: Callable[[Tensor], Sketch]
):
    assert follow(make()).count > 1


def test_a_refusal_is_a_type_error_of_depthscale():
    assert issubclass(UnsupportedTensor, TypeError)
    assert issubclass(UnsupportedTensor, DepthscaleError)


@pytest.mark.parametrize(
    "other", [1, None, [], torch.ones(2)], ids=["one", "none", "list", "tensor"]
)
def test_only_sketches_add_up(other: Any):
    with pytest.raises(TypeError):
        operator.add(Sketch(), other)
