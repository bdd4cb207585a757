"""The founding experiment as an article: every number in it comes from the run it is given, or from
its story."""

from math import pi

import numpy as np

from depthscale._report.article import article_charts as charts
from depthscale._report.article.beyond import beyond
from depthscale._report.article.derivation import (
    approximations,
    batch_norm,
    result,
    samples,
    vanilla,
)
from depthscale._report.page import (
    Html,
    Part,
    bullets,
    contents,
    headline,
    join,
    joined,
    link,
    notes,
    paragraphs,
    provenance,
    readout,
    rms,
    section,
    sheet,
    table_of,
    tag,
)
from depthscale._report.pages.comparison_page import comparison_page
from depthscale._report.phrases import rate, rate_of, said_interval, said_rate
from depthscale.experiments import NAMES, Founding, Story
from depthscale.measure import Growth
from depthscale.network import NetSpec

_LUTHER = "https://kyleluther.github.io/2020/02/18/batchnorm-exploding-gradients.html"
_KRATZERT = (
    "https://kratzert.github.io/2016/02/12/"
    "understanding-the-gradient-flow-through-the-batch-normalization-layer.html"
)
_CONTENTS = {
    "question": "Question",
    "simulation": "Simulation",
    "approximations": "Argument",
    "others": "Other networks",
    "batch": "Batch size",
    "matters": "Does it matter?",
    "numbers": "Numbers",
}


def article(found: Founding, told: Story | None) -> str:
    """The page. / told: None for a network other than the founding one (ReLU, Kaiming, nothing
    added), which gets a comparison without the story."""
    if told is None:
        return comparison_page(dict(zip(NAMES, found.measured, strict=True)))
    spec = told.spec
    parts = [
        _opening(found, spec),
        _simulation(found, spec),
        vanilla(found),
        batch_norm(found, spec),
        approximations(told),
        result(found),
        samples(found),
        *beyond(found, told),
        _slips(found),
        _numbers(found),
        _sources(),
        *notes(*found.measured, *found.predicted),
    ]
    return sheet(
        "Why Batch Norm makes gradients explode",
        [*parts, provenance(*found.measured)],
        last=spec.depth,
    )


def _opening(found: Founding, spec: NetSpec) -> Part:
    measured, predicted = rate(found.measured[1]), rate(found.predicted[1])
    assert isinstance(predicted, Growth)
    seeds = (
        f"{found.measured[0].networks} random networks"
        if found.measured[0].networks > 1
        else "one random network"
    )
    head = headline(
        "depthscale: the founding experiment",
        "Why Batch Norm makes gradients explode",
        f"In {seeds} of {spec.depth} layers, Batch Norm makes the squared gradient grow by ",
        tag("strong", f"×{said_rate(measured)} per layer"),
        f" towards the input{said_interval(measured)}; theory says ×{predicted.rate:.5g}, and "
        f"π/(π−1) = {pi / (pi - 1):.5g} "
        "for an endless batch.",
    )
    return joined(head, charts.gradients(found), readout(), contents(_CONTENTS), _question())


def _question() -> Html:
    return join(
        tag("h2", "The question", id="question"),
        paragraphs(
            "Draw the weights of a deep ReLU network at random, independent, with mean 0 and "
            "variance 2/N for layers "
            "of N neurons, as Kaiming initialization does. Then neither the signal nor its "
            "gradient changes its "
            "typical size on the way through the layers. Now put Batch Norm before every ReLU. It "
            "only shifts and "
            "scales each preactivation, to mean 0 and variance 1 over the batch, and the forward "
            "signal looks as "
            "healthy as it can. The gradient, though, grows exponentially towards the input.",
            "No single layer looks wrong. So which step makes it grow, by exactly how much, and "
            "need anyone care?",
        ),
    )


def _simulation(found: Founding, spec: NetSpec) -> Part:
    vanilla, norm = (np.sqrt(profile.gradient.mean_square) for profile in found.measured[:2])
    top = spec.depth - 1
    loss = {
        "shared": "E = Σ w · x over the samples, one random vector w for all of them",
        "independent": "one random cotangent for every sample",
    }.get(found.measured[0].loss, "a loss of one's own")
    dip = (
        f" (Its dip at layer {top} is the loss's doing, and explained below.)"
        if found.measured[0].loss == "shared"
        else ""
    )
    what = paragraphs(
        f"The experiment runs {found.measured[0].networks} networks of {spec.depth} layers with "
        f"{spec.width:,} neurons "
        f"each, on {spec.batch} inputs of independent Gaussian entries of variance "
        f"{spec.input_variance:g}. The loss is "
        f"{loss}. Each network is run three times with the same weights, inputs and loss: as it "
        "is (vanilla), with "
        "Batch Norm before every ReLU, and with Batch Norm whose mean and standard deviation take "
        "no gradient (frozen "
        "statistics), which have the same forward pass.",
        f"Without norm the RMS of the gradient is {vanilla[top]:.3g} at layer {top} and "
        f"{vanilla[1]:.3g} at layer 1. "
        f"With Batch Norm it is {norm[top]:.3g} at layer {top} and {norm[1]:.3g} at layer 1, "
        f"{norm[1] / norm[top]:.3g} "
        f"times as much.{dip}",
    )
    return section("simulation", "The simulation", what, charts.histograms(found))


def _slips(found: Founding) -> Part:
    predicted = rate(found.predicted[1])
    assert isinstance(predicted, Growth)
    top = found.measured[1].depth - 1
    levels = found.measured[1].gradient.log2_mean_square
    naive = 2.0 ** ((levels[0] - levels[-1]) / 2 / found.measured[1].depth)
    listed = [
        "It is the squared gradient that grows like π/(π−1) to the power of the depth; the norm "
        "grows like its root. "
        f"And σ ≈ 0.83 is the root of (π−1)/π, not π/(π−1) = {pi / (pi - 1):.3f}, which is 1/σ².",
        f"Not every layer takes part. From layer 0 to layer {top + 1} this run's RMS changes by "
        f"×{naive:.3f} per layer "
        f"on the whole; on layers 1 to {top}, by "
        f"×{np.sqrt(rate_of(rate(found.measured[1]))):.3f}. The first layer and "
        "the one under the loss obey laws of their own.",
        "The gradient at y has mean 0 over the batch exactly, because Batch Norm makes it so. At "
        "z it is only close to "
        "it, and only where another Batch Norm follows: with a loss that treats all samples "
        "alike, the last one "
        "deletes most of the gradient.",
        "Weights have variance 2/N and standard deviation √(2/N); the two are easily mixed up.",
        "With Batch Norm under a linear output and a loss that sums over samples, the gradient is "
        "0 everywhere: the "
        "loss is constant.",
    ]
    return section("slips", "Where early accounts slip", bullets(listed))


def _numbers(found: Founding) -> Part:
    columns = {"layer": np.arange(found.measured[0].depth + 1.0)}
    rows = list(found.rows())
    for name, short in zip(NAMES, ("vanilla", "BN", "frozen"), strict=True):
        mine = [row for row in rows if row.network == name]
        columns[f"{short} RMS"] = np.array([row.measured for row in mine])
        columns[f"{short} theory"] = np.array([row.predicted for row in mine])
        columns[f"{short} diff (normal deviate)"] = np.array([row.z_score for row in mine])
    columns["vanilla batch variance"] = rms(2 * found.measured[0].batch_variance.log2_mean_square)
    columns["BN batch variance"] = rms(2 * found.measured[1].batch_variance.log2_mean_square)
    return section("numbers", "All numbers", table_of(columns))


def _sources() -> Part:
    listed = [
        join(
            link("Kyle Luther, Why Batch Norm Causes Exploding Gradients", _LUTHER),
            " (2020): the experiment and the argument.",
        ),
        join(
            link(
                "Frederik Kratzert, Understanding the backward pass through Batch Normalization "
                "Layer",
                _KRATZERT,
            ),
            " (2016): the backward pass, step by step.",
        ),
        join(
            link(
                "Yang and others, A Mean Field Theory of Batch Normalization",
                "https://arxiv.org/abs/1902.08129",
            ),
            " (2019): the exact factor for every batch size, and how deep such networks train.",
        ),
        join(
            link("Ioffe and Szegedy, Batch Normalization", "https://arxiv.org/abs/1502.03167"),
            " (2015).",
        ),
        join(
            link(
                "Schoenholz and others, Deep Information Propagation",
                "https://arxiv.org/abs/1611.01232",
            ),
            " (2017): order, chaos and depth scales without norm.",
        ),
    ]
    return section("sources", "Sources", bullets(listed))
