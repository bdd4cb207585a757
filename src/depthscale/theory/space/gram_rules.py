"""How the gram of unlike positions (`position_gram`) passes operations, beside the few numbers that
the rules hand on.

An operation that is not named here forgets it: correlation and profile stay.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.polynomial import chebyshev

from depthscale.network import (
    Add,
    Affine,
    Attention,
    Dropout,
    Elementwise,
    Linear,
    Multiply,
    Norm,
    Op,
    Operation,
    Part,
    Phi,
    Repeat,
)
from depthscale.theory.moments.backward import BackwardMoments
from depthscale.theory.moments.expectations import powers, slopes, values
from depthscale.theory.moments.forward import ForwardMoments, Places
from depthscale.theory.moments.laws import Gaussian
from depthscale.theory.space.position_gram import Matrix, PositionGram

_DEGREE = 16  # of the polynomial in the correlation that stands for an expectation over pairs


def behind(
    what: Operation, inputs: Sequence[ForwardMoments], output: ForwardMoments
) -> ForwardMoments:
    """The output of an operation, with the gram that it makes of its inputs'."""
    if what.__class__ is Attention or not any(x.places.gram for x in inputs):
        return output
    gram = _behind(what, inputs, output)
    return output._replace(places=Places.of(gram) if gram else output.places._replace(gram=None))


def below(
    op: Op, inputs: Sequence[ForwardMoments], g: BackwardMoments, sent: Sequence[BackwardMoments]
) -> Sequence[BackwardMoments]:
    """What an operation sends to its inputs, with the gram that it makes of the gradient's."""
    if op.what.__class__ is Attention or not any(x.places.gram for x in (g, *inputs)):
        return sent
    return [
        each._replace(places=_placed(op.what, inputs, i, g, each)) for i, each in enumerate(sent)
    ]


def _placed(
    what: Operation,
    inputs: Sequence[ForwardMoments],
    i: int,
    g: BackwardMoments,
    sent: BackwardMoments,
) -> Places:
    gram = _below(what, inputs, i, g)
    return Places.of(gram) if gram else sent.places._replace(gram=None)


def _behind(
    what: Operation, inputs: Sequence[ForwardMoments], output: ForwardMoments
) -> PositionGram | None:
    x = inputs[0].gram
    match what:
        case Linear(rows="free") if what.sigma_b2:
            bias = what.sigma_b2 * 2.0**-output.log2_ms
            return PositionGram(x.sizes, (1 - bias) * x.own + bias, (1 - bias) * x.pairs + bias)
        case Linear(rows="free") | Part(of="entries") | Affine(shift=0.0) | Repeat():
            return x
        case Norm() if what.row.over == "entries" and not inputs[0].mean:
            return _divided(x, x, what.eps, inputs[0].log2_ms)
        case Elementwise(name):
            return _activated(name, inputs[0], x)
        case Add(scale):
            ratio = scale**2 * 2.0 ** (inputs[1].log2_ms - inputs[0].log2_ms)
            return x.plus(inputs[1].gram, 1 / (1 + ratio))
        case Multiply():
            y = inputs[1].gram
            return x.of(x.own * y.own, x.pairs * y.pairs)
        case Dropout(keep):
            return PositionGram(x.sizes, x.own, x.pairs * keep)
        case _:
            return None


def _below(
    what: Operation, inputs: Sequence[ForwardMoments], i: int, g: BackwardMoments
) -> PositionGram | None:
    above = g.gram_over(inputs[i].places.positions)
    match what:
        case Linear(rows="free") | Add() | Affine() | Part(of="entries") | Repeat():
            return above
        case Norm() if what.row.over == "entries":
            return _divided(above, inputs[0].gram, what.eps, inputs[0].log2_ms)
        case Elementwise(name):
            return _below_activation(name, inputs[0], above)
        case Multiply():
            other = inputs[1 - i].gram
            return above.of(above.own * other.own, above.pairs * other.pairs)
        case Dropout(keep):
            return PositionGram(above.sizes, above.own, above.pairs * keep)
        case _:
            return None


def _divided(gram: PositionGram, by: PositionGram, eps: float, log2_ms: float) -> PositionGram:
    """Each position by its own sigma."""
    variance = by.own + eps * 2.0**-log2_ms
    return gram.of(gram.own / variance, gram.pairs / np.sqrt(np.outer(variance, variance)))


def _activated(name: Phi, x: ForwardMoments, gram: PositionGram) -> PositionGram | None:
    """The kernel at each pair's correlation; of unlike positions times their power of the
    variance."""
    if not isinstance(x.law, Gaussian) or x.law.shift:
        return None
    law = x.law
    square = values(name, law).square
    power = powers(name, law)[0][0]
    kernel = _over_correlations(
        lambda c: values(name, replace(law, correlation=c)).product / square, gram
    )
    return gram.of(gram.own**power, kernel * np.outer(gram.own, gram.own) ** (power / 2))


def _below_activation(name: Phi, x: ForwardMoments, above: PositionGram) -> PositionGram | None:
    if not isinstance(x.law, Gaussian) or x.law.shift:
        return None
    law, signal = x.law, x.gram
    square = slopes(name, law, True).square
    power = powers(name, law)[1][0]
    kernel = _over_correlations(
        lambda c: slopes(name, replace(law, correlation=c)).product / square, signal
    )
    variance = signal.own**power
    return above.of(
        above.own * variance, above.pairs * kernel * np.sqrt(np.outer(variance, variance))
    )


def _over_correlations(f: Callable[[float], float], gram: PositionGram) -> Matrix:
    """f at the correlation of each pair, by its Chebyshev polynomial between the least and the
    greatest."""
    c = np.clip(gram.pairs / np.sqrt(np.outer(gram.own, gram.own)), -1.0, 1.0)
    apart = ~np.eye(len(c), dtype=bool) | (np.outer(gram.sizes, gram.sizes) > 1)
    low, high = float(c[apart].min()), float(c[apart].max())
    if high - low < 1e-6:
        return np.full_like(c, f((low + high) / 2))
    middle, half = (high + low) / 2, (high - low) / 2
    nodes = chebyshev.chebpts1(_DEGREE + 1)
    found = chebyshev.chebfit(nodes, [f(float(c)) for c in middle + half * nodes], _DEGREE)
    at = np.clip((c - middle) / half, -1.0, 1.0)
    return np.asarray(chebyshev.chebval(at, found), np.float64)
