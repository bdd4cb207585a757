"""The steps of the growth argument measured on one network's tape; the same names as theory's
numbers."""

from math import nan

import torch
from torch import Tensor

from depthscale._explain.expected import Numbers
from depthscale._explain.forward_backward import LayerPlaces, Tape, places
from depthscale.nets import elementwise
from depthscale.network import Elementwise, Norm, activation
from depthscale.norms import correlation, norm_terms
from depthscale.run import Terms


def measured(tape: Tape) -> list[Numbers]:
    """For layers 1..depth; a step that the network does not have is absent."""
    return [_layer(tape, at) for at in places(tape.graph)]


def _layer(tape: Tape, at: LayerPlaces) -> Numbers:
    received = tape.graph.ops[at.activation].inputs[0]
    numbers = {
        "product": _factor(tape, at.below, at.linear),
        "slope": _factor(tape, received, at.activation),
        "layer": _factor(tape, at.below, at.output),
        "z_independent": correlation(tape.values[received], tape.gradients[received]),
        "squares_independent": _of_squares(tape.values[received], tape.gradients[at.activation]),
        "slopes_independent": _of_slopes(tape, received, at.activation),
        "variance": float(tape.values[at.linear].double().var(0, correction=0).mean()),
    }
    return numbers | (_norm(tape, at.norm) if at.norm is not None else {})


def _norm(tape: Tape, at: int) -> Numbers:
    norm, below = tape.graph.ops[at].what, tape.graph.ops[at].inputs[0]
    assert isinstance(norm, Norm)
    factor = {"norm": _factor(tape, below, at)}
    if norm.statistics == "running":
        return factor
    found = norm_terms(tape.values[below], tape.gradients[at], tape.gradients[below], norm)
    return factor | of_terms(found, norm)


def of_terms(terms: Terms, norm: Norm) -> Numbers:
    """What a norm's terms say of the steps about it."""
    return {
        "sigma2": terms.variance,
        "spread": terms.spread,
        "inverse": terms.inverse,
        "flatness": terms.flatness,
        "through_mean": terms.through_mean if norm.row.centred else nan,
        "through_sigma": terms.through_sigma,
    }


def _factor(tape: Tape, below: int, above: int) -> float:
    low, high = (float(tape.gradients[i].double().square().mean()) for i in (below, above))
    return low / high if high else nan


def _of_slopes(tape: Tape, received: int, at: int) -> float:
    """Correlation of phi'^2 with the square of the gradient that it multiplies; nan where phi' is
    constant."""
    what = tape.graph.ops[at].what
    assert isinstance(what, Elementwise)
    slopes = _slopes(what.activation, tape.values[received])
    return (
        correlation(slopes.square(), tape.gradients[at].double().square())
        if float(slopes.square().var())
        else nan
    )


def _of_squares(u: Tensor, gradient: Tensor) -> float:
    return correlation(u.double().square(), gradient.double().square())


def _slopes(name: str, u: Tensor) -> Tensor:
    a = activation(name)
    if a.homogeneous:  # at the kink as torch has it
        return elementwise(name).backward(torch.ones_like(u), u).double()
    return torch.from_numpy(a.derivative(u.double().numpy()))
