"""The article's argument: what each module does to the squared gradient, each approximation beside
what was measured, and the result."""

from math import exp, isfinite, pi

import numpy as np

from depthscale._report.article import article_charts as charts
from depthscale._report.article.diagram import modules
from depthscale._report.condensed import verdict_line
from depthscale._report.page import Part, claims, formula, join, paragraphs, section, table, tag
from depthscale._report.pages.neuron_panels import neurons
from depthscale._report.phrases import rate, rounded, said_interval, said_rate
from depthscale.errors import DepthscaleError
from depthscale.experiments import Founding, Story
from depthscale.measure import Growth
from depthscale.network import NetSpec
from depthscale.run import Run


def vanilla(found: Founding) -> Part:
    measured = rate(found.measured[0])
    text = join(
        paragraphs(
            "Write a layer as y = W x, then x = max(0, y), and p(·) for the mean square of the "
            "gradient at some place. "
            "Going back through the matrix, each entry of dE/dx sums N independent terms of "
            "variance 2/N times that of "
            "dE/dy. Going back through ReLU, the gradient passes where y > 0 and is 0 elsewhere, "
            "which is half of the "
            "time:"
        ),
        formula("p(x_{l−1}) = 2 p(y_l)", block=True),
        formula("p(y_l) = frac{1}{2} p(x_l)", block=True),
        paragraphs(
            "Two times a half is one: p does not change from layer to layer, in the mean over "
            "networks. This run measures "
            f"×{said_rate(measured)} per layer{said_interval(measured)}; "
            f"{_typical(found.predicted[0])}"
        ),
    )
    return section("vanilla", "Why a vanilla network keeps its gradient", text)


def batch_norm(found: Founding, spec: NetSpec) -> Part:
    predicted = [rate(profile) for profile in found.predicted]
    assert isinstance(predicted[1], Growth)
    assert isinstance(predicted[2], Growth)
    share = 1 - predicted[1].rate / predicted[2].rate
    text = join(
        paragraphs(
            "Batch Norm adds a third module between matrix and ReLU. For each neuron it takes the "
            "mean μ and the "
            "standard deviation σ of y over the batch and passes on z = (y − μ)/σ. Since μ and σ "
            "depend on every "
            "sample, its backward pass has three terms:"
        ),
        formula(
            "frac{dE}{dy} = frac{1}{σ} [ frac{dE}{dz} − ⟨frac{dE}{dz}⟩ − z ⟨z frac{dE}{dz}⟩ ]",
            block=True,
        ),
        paragraphs(
            "The first is the gradient itself, scaled. The second came through the mean, the "
            "third through the "
            "standard deviation; the two remove what the gradient has in common over the batch, "
            "and what it has in "
            "common with z. All that can make it larger is the factor 1/σ in front."
        ),
        modules(("×2", f"×{predicted[1].rate:.4g}", "×½")),
    )
    under = (
        "Under the loss it is another matter, as the table below shows."
        if found.measured[0].loss == "shared"
        else ""
    )
    more = paragraphs(
        f"How much do the two removals take? In the bulk of the network theory says {share:.2%} "
        "of the squared gradient "
        f"together, for a batch of {spec.batch}: over independent samples such means are of order "
        "one over the root of "
        f"the batch. {under}"
    )
    return section("batch-norm", "Batch Norm, forward and backward", text, more)


def approximations(told: Story) -> Part:
    text = paragraphs(
        "So the argument drops the term through σ, drops the term through μ, puts the mean of "
        "1/σ² in place of its value "
        "neuron by neuron, and multiplies means as if slopes and sizes knew nothing of each "
        "other. What is left is a "
        "layer that multiplies the squared gradient by 2, by 1/σ² and by a half. Here it is step "
        "by step: as it is "
        "argued, for an endless batch and a gradient of its own in every sample; as theory has it "
        "for this batch and "
        f"this loss; and as {told.judges} of the networks show, a mean with its standard error for "
        "one layer."
    )
    argument = told.argument
    if isinstance(argument, DepthscaleError):
        return section(
            "approximations",
            "The approximations, one by one",
            text,
            tag("p", f"Not measured: {argument}."),
        )
    allowed = tag(
        "p",
        "p is the mean square of a gradient; depthscale explain growth gives each layer's row.",
        class_="note",
    )
    return section(
        "approximations",
        "The approximations, one by one",
        text,
        tag("p", tag("strong", f"{verdict_line(argument.rows).capitalize()}.")),
        claims(argument.rows),
        allowed,
    )


def result(found: Founding) -> Part:
    rows = []
    for name, measured, predicted in found.growths():
        theory = predicted.rate if isinstance(predicted, Growth) else float("nan")
        root = f"{measured.rms_rate:.4g}" if isinstance(measured, Growth) else "–"
        rows.append(
            [
                name,
                said_rate(measured),
                rounded(theory),
                root,
                f"{theory**0.5:.5g}" if isfinite(theory) else "–",
            ]
        )
    text = join(
        paragraphs(
            "What then is σ? After Batch Norm z is close to standard normal. The variance of ReLU "
            "of a standard normal "
            "number is 1/2 − 1/(2π), half the mean square less the square of the mean, and the "
            "matrix doubles it:"
        ),
        formula("σ^2 = 2 ( frac{1}{2} − frac{1}{2 π} ) = frac{π − 1}{π}", block=True),
        formula("λ = frac{1}{σ^2} = frac{π}{π − 1}", block=True),
        paragraphs(
            f"That is σ² = {(pi - 1) / pi:.4f}, σ = {((pi - 1) / pi) ** 0.5:.4f}, and a factor of "
            f"{pi / (pi - 1):.4f} "
            f"for the squared gradient, {(pi / (pi - 1)) ** 0.5:.4f} for its RMS. The cause is "
            "plain now: ReLU's output "
            "has a mean, Batch Norm takes it away, and what is left is smaller than what "
            "Kaiming's factor of 2 was "
            "made for; so Batch Norm must amplify, and the gradient is amplified with the signal. "
            "Without norm the "
            "mean stays and does its share."
        ),
        table(["network", "per layer, measured", "theory", "RMS, measured", "theory"], rows),
    )
    return section("result", "The result", text)


def samples(found: Founding) -> Part:
    first, last = (np.exp2(found.measured[0].batch_variance.log2_mean_square[i]) for i in (1, -1))
    text = paragraphs(
        "There is a price on the other side. Without norm the samples of a batch become alike "
        "from layer to layer: the "
        f"batch variance of a preactivation falls from {first:.3g} at layer 1 to {last:.3g} at "
        "the last. A neuron then "
        "sits on one side of ReLU's bend for most of the batch, and the network is close to "
        "linear on it. With Batch "
        "Norm every neuron keeps using both sides, the network stays strongly nonlinear, and "
        "samples stay apart: that "
        "is the chaotic regime, and exploding gradients belong to it.",
    )
    exact = join(
        paragraphs(
            "For an endless batch and any activation φ, with z standard normal, it is an "
            "inequality of Poincaré's:"
        ),
        formula("λ = frac{⟨φ'(z)^2⟩}{Var φ(z)} ≥ 1", block=True),
        paragraphs(
            "with equality only where φ is a straight line. Batch Norm makes gradients grow with "
            "every activation that is not."
        ),
    )
    return section(
        "samples",
        "What a neuron sees",
        text,
        charts.variances(found),
        neurons(found.neurons, found.shown),
        exact,
    )


def _typical(theory: Run) -> str:
    """What finite width makes of a rate that is a mean of logarithms."""
    first, last = 1, theory.depth - 1
    if theory.log_variance is None:
        return "the rate of a typical network lies a little below that of the mean."
    below = exp(-float(theory.log_variance[first] - theory.log_variance[last]) / 2 / (last - first))
    return (
        f"a typical network of this width lies a little below the mean, at ×{below:.4f}, for "
        "its gradient fluctuates."
    )
