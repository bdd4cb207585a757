"""The steps of the growth argument at one norm of a user's model, in words; those of a whole
network are in `steps`."""

from depthscale._explain.blocks import Block
from depthscale._explain.steps import Step


def _constants(block: Block) -> str:
    return "its statistics are constants, as in eval mode" if block.constant else ""


BLOCK_STEPS = (
    Step(
        "product",
        "factor",
        lambda b: "the map below multiplies p by",
        "p(x below) / p(y) = fan_out <w²>",
        "product",
        "the weights below do not multiply the squared gradient as independent ones would",
        lambda b: "it reads no linear map or convolution",
    ),
    Step(
        "slopes_independent",
        "correlation",
        lambda b: "slopes do not know the gradient they multiply",
        "r(φ'(z)², (dE/dx)²) = 0",
        "slopes",
        "slopes know the gradient that they multiply",
        lambda b: "no activation reads it whose slope varies",
    ),
    Step(
        "slope",
        "factor",
        lambda b: (
            f"so {b.activation.op if b.activation else 'the activation'} multiplies it by the "
            "mean of φ'²"
        ),
        "p(z) / p(x) = <φ'²>",
        "slope",
        "the activation above does not multiply the squared gradient by the mean of φ'²",
        lambda b: "no activation reads it",
    ),
    Step(
        "scale",
        "factor",
        lambda b: "γ multiplies it by its mean square",
        "p(z) / p(γz) = <γ²>",
        "gamma",
        "γ knows the gradient that it multiplies",
        lambda b: "it has no gain",
    ),
    Step(
        "even",
        "factor",
        lambda b: "σ does not know the gradient that it divides",
        "<g²/σ²> / <g²> <1/σ²> = 1",
        "σ, g",
        "σ knows the gradient that it divides",
    ),
    Step(
        "through_mean",
        "share",
        lambda b: "the term through the mean is negligible",
        "<dE/dz>² / <(dE/dz)²> = 0",
        "mean",
        "the term through the mean takes a share of the gradient",
        lambda b: _constants(b) or f"{b.what.row.name} takes no mean away",
    ),
    Step(
        "z_independent",
        "correlation",
        lambda b: "z does not know the gradient that arrives at it",
        "r(z, dE/dz) = 0",
        "z, g",
        "z knows the gradient that arrives at it",
    ),
    Step(
        "through_sigma",
        "share",
        lambda b: "so the term through sigma is negligible",
        "<z dE/dz>² / <(dE/dz)²> = 0",
        "sigma",
        "the term through sigma takes a share of the gradient",
        _constants,
    ),
    Step(
        "norm",
        "factor",
        lambda b: f"so {b.what.row.name} multiplies p by 1/σ²",
        "p(y) / p(z) = <1/σ²>",
        "gain",
        "the norm does not multiply the squared gradient by the mean of 1/σ²",
    ),
    Step(
        "sigma2",
        "factor",
        lambda b: "σ² is theory's",
        "mean σ² = sigma_w² Var φ",
        "σ²",
        "σ² is not theory's",
    ),
    Step(
        "spread",
        "share",
        lambda b: f"and hardly varies between {b.what.row.units}",
        "Var σ² / (mean σ²)² = 0",
        "spread",
        "σ² varies",
    ),
    Step(
        "flatness",
        "factor",
        lambda b: "so the mean of 1/σ² is 1 over that of σ²",
        "(mean of 1/σ²) (mean of σ²) = 1",
        "flat",
        "the mean of 1/σ² is not 1 over the mean of σ²",
    ),
    Step(
        "inverse",
        "factor",
        lambda b: "and is theory's",
        "mean of 1/σ² = 1 / (sigma_w² Var φ)",
        "1/σ²",
        "the mean of 1/σ² is not theory's",
    ),
    Step(
        "layer",
        "factor",
        lambda b: "so the layer multiplies p by",
        "p(x below) / p(x) = the product of all",
        "layer",
        "the layer as a whole does not multiply the squared gradient as argued",
        lambda b: "map, norm and activation do not follow each other alone",
    ),
)
