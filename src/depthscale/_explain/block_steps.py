"""The steps of the growth argument at one norm of a user's model, in words; those of a whole
network are in `steps`."""

from collections.abc import Callable
from dataclasses import dataclass

from depthscale._explain.blocks import Block
from depthscale._explain.verdict import Unit


@dataclass(frozen=True)
class BlockStep:
    """name: of its number. / label: in a column; broken: what is said where it fails; lacks: why a
    block may not have it."""

    name: str
    unit: Unit
    label: str
    statement: Callable[[Block], str]
    formula: str
    broken: str
    lacks: str = ""


BLOCK_STEPS = (
    BlockStep(
        "product",
        "factor",
        "product",
        lambda b: "the map below multiplies p by",
        "p(x below) / p(y) = fan_out <w²>",
        "the weights below do not multiply the squared gradient as independent ones would",
        "it reads no linear map or convolution",
    ),
    BlockStep(
        "slopes_independent",
        "correlation",
        "slopes",
        lambda b: "slopes do not know the gradient they multiply",
        "r(φ'(z)², (dE/dx)²) = 0",
        "slopes know the gradient that they multiply",
        "no activation reads it whose slope varies",
    ),
    BlockStep(
        "slope",
        "factor",
        "slope",
        lambda b: (
            f"so {b.activation.op if b.activation else 'the activation'} multiplies it by the "
            "mean of φ'²"
        ),
        "p(z) / p(x) = <φ'²>",
        "the activation above does not multiply the squared gradient by the mean of φ'²",
        "no activation reads it",
    ),
    BlockStep(
        "scale",
        "factor",
        "gamma",
        lambda b: "γ multiplies it by its mean square",
        "p(z) / p(γz) = <γ²>",
        "γ knows the gradient that it multiplies",
        "it has no gain",
    ),
    BlockStep(
        "even",
        "factor",
        "σ, g",
        lambda b: "σ does not know the gradient that it divides",
        "<g²/σ²> / <g²> <1/σ²> = 1",
        "σ knows the gradient that it divides",
    ),
    BlockStep(
        "through_mean",
        "share",
        "mean",
        lambda b: "the term through the mean is negligible",
        "<dE/dz>² / <(dE/dz)²> = 0",
        "the term through the mean takes a share of the gradient",
    ),
    BlockStep(
        "z_independent",
        "correlation",
        "z, g",
        lambda b: "z does not know the gradient that arrives at it",
        "r(z, dE/dz) = 0",
        "z knows the gradient that arrives at it",
    ),
    BlockStep(
        "through_sigma",
        "share",
        "sigma",
        lambda b: "so the term through sigma is negligible",
        "<z dE/dz>² / <(dE/dz)²> = 0",
        "the term through sigma takes a share of the gradient",
    ),
    BlockStep(
        "norm",
        "factor",
        "gain",
        lambda b: f"so {b.what.row.name} multiplies p by 1/σ²",
        "p(y) / p(z) = <1/σ²>",
        "the norm does not multiply the squared gradient by the mean of 1/σ²",
    ),
    BlockStep(
        "sigma2",
        "factor",
        "σ²",
        lambda b: "σ² is theory's",
        "mean σ² = sigma_w² Var φ",
        "σ² is not theory's",
    ),
    BlockStep(
        "spread",
        "share",
        "spread",
        lambda b: f"and hardly varies between {b.what.row.units}",
        "Var σ² / (mean σ²)² = 0",
        "σ² varies",
    ),
    BlockStep(
        "flatness",
        "factor",
        "flat",
        lambda b: "so the mean of 1/σ² is 1 over that of σ²",
        "(mean of 1/σ²) (mean of σ²) = 1",
        "the mean of 1/σ² is not 1 over the mean of σ²",
    ),
    BlockStep(
        "inverse",
        "factor",
        "1/σ²",
        lambda b: "and is theory's",
        "mean of 1/σ² = 1 / (sigma_w² Var φ)",
        "the mean of 1/σ² is not theory's",
    ),
    BlockStep(
        "layer",
        "factor",
        "layer",
        lambda b: "so the layer multiplies p by",
        "p(x below) / p(x) = the product of all",
        "the layer as a whole does not multiply the squared gradient as argued",
        "map, norm and activation do not follow each other alone",
    ),
)


def lacks(step: BlockStep, block: Block) -> str:
    """Why a block has no such step."""
    if step.name.startswith("through_") and block.constant:
        return "its statistics are constants, as in eval mode"
    name = block.what.row.name
    return f"{name} takes no mean away" if step.name == "through_mean" else step.lacks
