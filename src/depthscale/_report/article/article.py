"""The founding experiment as an article: every number in it comes from the run it is given, or from
`predict`."""

from math import exp, isfinite, pi

import numpy as np

from depthscale._explain.growth import growth_argument
from depthscale._report.article import article_charts as charts
from depthscale._report.article.beyond import beyond
from depthscale._report.article.diagram import modules
from depthscale._report.page.assemble import Part, section, sheet
from depthscale._report.page.claims import claims
from depthscale._report.page.columns import notes, readout, rms, table_of
from depthscale._report.page.html import headline, join, link, paragraphs, table, tag
from depthscale._report.page.mathml import formula
from depthscale._report.page.provenance import provenance
from depthscale._report.pages.comparison_page import comparison_page
from depthscale._report.phrases import rate, rate_of, rounded, said_interval, said_rate
from depthscale._report.terminal.argument_table import verdict_line
from depthscale.errors import DepthscaleError
from depthscale.experiments.founding import NAMES, Founding
from depthscale.measure import Growth
from depthscale.network import NetSpec
from depthscale.run import Profile

_DEEP_ENOUGH, _BATCH_ENOUGH = 4, 4
_ARGUED = 8  # networks whose every tensor is kept to judge the argument
_LUTHER = "https://kyleluther.github.io/2020/02/18/batchnorm-exploding-gradients.html"
_KRATZERT = "https://kratzert.github.io/2016/02/12/understanding-the-gradient-flow-through-the-batch-normalization-layer.html"


def article(found: Founding) -> str:
    """The page. / a network other than the founding one (ReLU, Kaiming, nothing added) gets a
    comparison without the story."""
    spec = NetSpec.from_record(found.measured[1].spec)
    if not is_founding(found, spec):
        return comparison_page(dict(zip(NAMES, found.measured, strict=True)))
    parts = [
        _opening(found, spec),
        _simulation(found, spec),
        _vanilla(found),
        _batch_norm(found, spec),
        _approximations(found, spec),
        _result(found),
        _samples(found),
        *beyond(found, spec),
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


def is_founding(found: Founding, spec: NetSpec) -> bool:
    """Whether the argument is about these networks: its sizes may differ, its activation and scales
    not."""
    sizes = {"depth": spec.depth, "width": spec.width, "batch": spec.batch}
    theirs = NetSpec(norm="batch", input_variance=spec.input_variance, **sizes)
    return (
        bool(found.predicted)
        and spec == theirs
        and spec.depth >= _DEEP_ENOUGH
        and spec.batch >= _BATCH_ENOUGH
    )


def _opening(found: Founding, spec: NetSpec) -> Part:
    measured, predicted = rate(found.measured[1]), rate(found.predicted[1])
    assert isinstance(predicted, Growth)
    seeds = (
        f"{found.measured[0].seeds} random networks"
        if found.measured[0].seeds > 1
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
    hero = charts.gradients(found)
    contents = tag(
        "nav",
        *(
            tag("a", title, href=f"#{name}")
            for name, title in (
                ("question", "Question"),
                ("simulation", "Simulation"),
                ("approximations", "Argument"),
                ("others", "Other networks"),
                ("batch", "Batch size"),
                ("matters", "Does it matter?"),
                ("numbers", "Numbers"),
            )
        ),
        aria_label="contents",
    )
    question = join(
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
    return Part(join(head, hero.body, readout(), contents, question), hero.charts)


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
        f"The experiment runs {found.measured[0].seeds} networks of {spec.depth} layers with "
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


def _vanilla(found: Founding) -> Part:
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


def _batch_norm(found: Founding, spec: NetSpec) -> Part:
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


def _approximations(found: Founding, spec: NetSpec) -> Part:
    run = found.measured[0]
    seeds = min(max(run.seeds, 3), _ARGUED)
    text = paragraphs(
        "So the argument drops the term through σ, drops the term through μ, puts the mean of "
        "1/σ² in place of its value "
        "neuron by neuron, and multiplies means as if slopes and sizes knew nothing of each "
        "other. What is left is a "
        "layer that multiplies the squared gradient by 2, by 1/σ² and by a half. Here it is step "
        "by step: as it is "
        "argued, for an endless batch and a gradient of its own in every sample; as theory has it "
        "for this batch and "
        f"this loss; and as {seeds} of the networks show, a mean with its standard error for one "
        "layer."
    )
    try:
        argument = growth_argument(spec, loss=run.loss, seeds=seeds, seed=run.seed)
    except DepthscaleError as refused:
        return section(
            "approximations",
            "The approximations, one by one",
            text,
            tag("p", f"Not measured: {refused}."),
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
        tag("p", tag("strong", f"{verdict_line(argument).capitalize()}.")),
        claims(argument.rows),
        allowed,
    )


def _result(found: Founding) -> Part:
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


def _samples(found: Founding) -> Part:
    first, last = (
        np.exp2(found.measured[0].preactivation_batch_variance.log2_mean_square[i]) for i in (1, -1)
    )
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
    neurons = charts.neurons(found.neurons, found.shown)
    return section("samples", "What a neuron sees", text, charts.variances(found), neurons, exact)


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
    return section(
        "slips", "Where early accounts slip", tag("ul", *(tag("li", each) for each in listed))
    )


def _numbers(found: Founding) -> Part:
    columns = {"layer": np.arange(found.measured[0].depth + 1.0)}
    rows = list(found.rows())
    for name, short in zip(NAMES, ("vanilla", "BN", "frozen"), strict=True):
        mine = [row for row in rows if row.network == name]
        columns[f"{short} RMS"] = np.array([row.measured for row in mine])
        columns[f"{short} theory"] = np.array([row.predicted for row in mine])
        columns[f"{short} diff (normal deviate)"] = np.array([row.standard_errors for row in mine])
    columns["vanilla batch variance"] = rms(
        2 * found.measured[0].preactivation_batch_variance.log2_mean_square
    )
    columns["BN batch variance"] = rms(
        2 * found.measured[1].preactivation_batch_variance.log2_mean_square
    )
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
    return section("sources", "Sources", tag("ul", *(tag("li", each) for each in listed)))


def _typical(theory: Profile) -> str:
    """What finite width makes of a rate that is a mean of logarithms."""
    first, last = theory.bulk
    if theory.log_variance is None:
        return "the rate of a typical network lies a little below that of the mean."
    below = exp(-float(theory.log_variance[first] - theory.log_variance[last]) / 2 / (last - first))
    return (
        f"a typical network of this width lies a little below the mean, at ×{below:.4f}, for "
        "its gradient fluctuates."
    )
