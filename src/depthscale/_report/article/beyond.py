"""What lies beyond the article's run: other activations and normalizers, other batches, deeper
networks, as theory has them."""

from math import inf, log

from depthscale._report.article import article_charts as charts
from depthscale._report.article.explorer import explorer
from depthscale._report.page import Part, formula, join, options, paragraphs, section, table, tag
from depthscale.experiments import NORMALIZERS, Founding, Story, key
from depthscale.network import NetSpec

_LISTED = (4, 8, 16, 64, 512, inf)


def beyond(found: Founding, told: Story) -> list[Part]:
    """Three sections."""
    return [_others(found, told), _finite_batch(told), _matters(told)]


def _others(found: Founding, told: Story) -> Part:
    headings = ["activation", *next(iter(told.others.values()))]
    rows = [
        [name, *(f"{rate:.4f}" for rate in rates.values())] for name, rates in told.others.items()
    ]
    text = paragraphs(
        "Layer norm divides by a standard deviation over the neurons of one sample. It leaves the "
        "mean over the batch "
        "alone, and with ReLU it neither grows nor shrinks the gradient; put after the activation "
        "it takes ReLU's mean "
        "away and grows it just as Batch Norm does. The factor of the squared gradient per layer, "
        "as predicted, for "
        "weights of variance 2/N:"
    )
    named = {
        key("relu", name, told.spec.batch): found.measured[i]
        for i, name in enumerate(list(NORMALIZERS)[:3])
    }
    try_it = tag("h3", "Try it")
    return section(
        "others",
        "Other activations and normalizers",
        text,
        table(headings, rows),
        try_it,
        explorer(told.spec, told.curves, named),
    )


def _finite_batch(told: Story) -> Part:
    rates = told.batches
    relu = rates["relu"]
    text = join(
        paragraphs(
            "Over B samples z is not Gaussian: it is spread evenly over a sphere, no entry larger "
            "than the root of B − "
            "1, and σ varies from neuron to neuron, which makes the mean of 1/σ² larger. For ReLU "
            "the exact factor is, "
            "with ρ = −1/(B−1),"
        ),
        formula("λ(B) = frac{B − 2 + J'(ρ) + J(ρ)}{(B − 3) (1 − J(ρ))}", block=True),
        formula(
            "J(c) = frac{sqrt{1 − c^2} + (π − arccos c) c}{π}",
            block=True,
        ),
        paragraphs(
            f"It is {relu[4]:.4g} for 4 samples, {relu[16]:.4g} for 16, {relu[128]:.4g} for 128 "
            f"and {relu[inf]:.5g} in "
            "the limit. At 3 samples the mean of 1/σ² is infinite; at 2 every z is +1 or −1, and "
            "the gradient is "
            "exactly 0. Even a linear network, which has nothing to explode in the limit, grows: "
            "by (B−2)/(B−3), "
            f"{rates['linear'][4]:.4g} at 4 samples."
        ),
    )
    return section("batch", "What a finite batch changes", text, charts.batches(rates))


def _matters(told: Story) -> Part:
    depth = told.spec.depth
    rows = [
        [
            "endless" if batch == inf else str(batch),
            f"{rate:.4f}",
            f"×{rate ** (depth / 2 - 1):.3g}",
            f"{16 / log(rate):.3g} layers",
        ]
        for batch in _LISTED
        for rate in [told.batches["relu"][batch]]
    ]
    text = paragraphs(
        f"Over {depth} layers it is a factor of a few in RMS, which an optimizer can live "
        "with; and initialization "
        "is not training, for the first steps change the scales of all layers. But the growth is "
        "exponential. Yang and "
        "others trained such networks at every depth and found that they stop learning near 16 / "
        "ln λ layers, whatever "
        "the batch size, where no skip connections carry the gradient past the norm:",
    )
    headings = ["batch", "λ", f"RMS, layer {depth - 1} to 1", "trains up to about"]
    line = " ".join(
        [
            "depthscale simulate",
            *options(NetSpec(depth=40, width=256, norm="batch", batch=8).record()),
            "--html deep.html",
        ]
    )
    more = join(
        paragraphs(
            "See for yourself what a deeper network's layers hold, and what number formats would "
            "lose of it:"
        ),
        tag("pre", line),
        paragraphs("Whether such networks train, measured on this machine:"),
        tag("pre", "depthscale explain matter --html matter.html"),
    )
    return section("matters", "Does it matter?", text, table(headings, rows), more)
