"""Which values each normalizer takes a mean and a variance over, and where its gamma and beta
stand."""

from dataclasses import dataclass
from math import prod
from typing import Literal

from depthscale.errors import InvalidInput
from depthscale.network import NORMALIZERS, NormKind

Kind = NormKind | Literal["weight"]


@dataclass(frozen=True)
class Layout:
    """x is seen as `view`, statistics are over the dimensions `over` of it; gamma and beta of shape
    `affine` are seen as `spread`.

    unit: what has one variance of its own; centred: False for the one that takes no mean away.
    """

    view: tuple[int, ...]
    over: tuple[int, ...]
    affine: tuple[int, ...]
    spread: tuple[int, ...]
    unit: str
    centred: bool = True


def layout(kind: Kind, shape: tuple[int, ...], groups: int = 1) -> Layout:
    """The layout for values of a shape [samples, channels, ...].

    batch: over all but the channels. layer, rms: over all of one sample, gamma for every entry.
    group: over the channels of one of `groups` groups in one sample; instance: over one channel of
    one sample; both with gamma for every channel. weight (standardization): over all that one
    output of a weight [fan_out, ...] reads, gamma its gain.
    raises: InvalidInput. / source: arXiv:1502.03167, 1607.06450, 1910.07467, 1803.08494,
    1607.08022, 1903.10520.
    """
    if len(shape) < 2 or 0 in shape:
        raise InvalidInput(
            f"{kind} norm takes values of shape (samples, channels, ...), none of them 0, got "
            f"{shape}; "
            + (
                "add the missing dimension with reshape"
                if len(shape) < 2
                else "there is nothing to take a mean over"
            )
        )
    samples, channels, *rest = shape
    ones = (1,) * len(rest)
    within = tuple(range(1, len(shape)))
    if kind == "weight":
        return Layout(shape, within, (samples,), (samples, 1, *ones), "output")
    if kind not in NORMALIZERS:
        choices = ", ".join((*NORMALIZERS, "weight"))
        raise InvalidInput(f"unknown normalizer {kind!r}; there are {choices}")
    row = NORMALIZERS[kind]
    match row.over:
        case "samples":
            return Layout(shape, (0, *within[1:]), (channels,), (1, channels, *ones), "neuron")
        case "entries":
            return Layout(shape, within, shape[1:], (1, *shape[1:]), "sample", row.centred)
        case "positions":
            return layout("group", shape, channels)
        case "groups":
            if groups < 1 or channels % groups:
                raise InvalidInput(
                    f"{channels} channels do not divide into {groups} groups; groups must divide "
                    "the channels"
                )
            view = (samples, groups, channels // groups, prod(rest))
            return Layout(view, (2, 3), (channels,), (1, groups, channels // groups, 1), "group")
