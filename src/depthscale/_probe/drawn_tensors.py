"""Tensors drawn after a description: float32[32,3,224,224], int64[2,256]<50257, bool[2,256]."""

import re
from math import prod

import torch
from torch import Tensor

from depthscale.errors import InvalidProbe

_FORM = re.compile(r"\s*(\w+)\s*\[([\d,\s]*)\]\s*(?:<\s*(\d+))?\s*")
_FLOATS = ("float16", "bfloat16", "float32", "float64")
_INTEGERS = ("int32", "int64", "uint8")
_MOST = 2**31  # values of an input


def is_described(word: str) -> bool:
    """Whether a string has the form of a description; a model may take others, too."""
    return _FORM.fullmatch(word) is not None


def drawn_tensor(described: str, seed: int) -> Tensor:
    """A tensor as described: floating values standard normal, integers uniform below the limit that
    follows "<", booleans true.

    raises: InvalidProbe for anything else, saying what the form is.
    """
    form = _FORM.fullmatch(described)
    if not form:
        raise InvalidProbe(
            f"input {described!r} is not understood; write dtype[sizes], as float32[32,3,224,224] "
            "or int64[2,256]<50257"
        )
    dtype, sizes, below = form.groups()
    shape = [int(size) for size in sizes.replace(" ", "").split(",") if size]
    if prod(shape) > _MOST:
        raise InvalidProbe(
            f"input {described!r} has {prod(shape):,} values; at most {_MOST:,} are drawn"
        )
    generator = torch.Generator().manual_seed(seed)
    if dtype in _FLOATS:
        if below is not None:
            raise InvalidProbe(
                f"input {described!r}: only integers take a limit, {dtype} is standard normal"
            )
        return torch.randn(shape, generator=generator).to(getattr(torch, dtype))
    if dtype in _INTEGERS:
        if below is None or int(below) < 1:
            raise InvalidProbe(
                f"input {described!r}: integers need a limit from 1, as {dtype}[{sizes}]<50257 "
                "for 50,257 tokens"
            )
        return torch.randint(int(below), shape, generator=generator, dtype=getattr(torch, dtype))
    if dtype == "bool":
        return torch.ones(shape, dtype=torch.bool)
    raise InvalidProbe(
        f"input {described!r}: unknown dtype {dtype!r}; choose one of "
        f"{', '.join((*_FLOATS, *_INTEGERS, 'bool'))}"
    )
