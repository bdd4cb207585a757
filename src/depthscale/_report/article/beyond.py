"""What lies beyond the article's run: other activations and normalizers, other batches, deeper
networks, as theory has them."""

from math import inf, log

from depthscale._report.article import article_charts as charts
from depthscale._report.article.explorer import NORMALIZERS, explorer, key
from depthscale._report.page.assemble import Part, section
from depthscale._report.page.html import join, paragraphs, table, tag
from depthscale._report.page.mathml import formula
from depthscale._report.page.provenance import options
from depthscale._report.phrases import rate, rate_of
from depthscale.experiments.founding import Founding
from depthscale.network import NetSpec
from depthscale.theory import predict

_OTHERS = ("relu", "leaky_relu(0.2)", "gelu", "silu", "tanh", "erf", "sin", "linear")
_DRAWN = ("relu", "tanh", "linear")
_BATCHES = (4, 5, 6, 8, 12, 16, 24, 32, 64, 128, 256, 512, inf)
_LISTED = (4, 8, 16, 64, 512, inf)


def beyond(found: Founding, spec: NetSpec) -> list[Part]:
    """Three sections. / spec: of the run's networks."""
    return [_others(found, spec), _finite_batch(spec), _matters(spec)]


def _others(found: Founding, spec: NetSpec) -> Part:
    headings = [
        "activation",
        f"Batch Norm, batch {spec.batch}",
        "endless batch",
        "layer norm",
        "layer norm after it",
        "none (6 layers)",
    ]
    settings = [
        {"norm": "batch", "batch": spec.batch},
        {"norm": "batch", "batch": inf},
        {"norm": "layer", "batch": inf},
        {"norm": "layer", "batch": inf, "position": "after"},
        {"norm": "none", "batch": inf},
    ]
    rows = [
        [name, *(f"{_rate(NetSpec(depth=6, activation=name, **each)):.4f}" for each in settings)]
        for name in _OTHERS
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
        key("relu", name, spec.batch): found.measured[i]
        for i, name in enumerate(list(NORMALIZERS)[:3])
    }
    try_it = tag("h3", "Try it")
    return section(
        "others",
        "Other activations and normalizers",
        text,
        table(headings, rows),
        try_it,
        explorer(spec, found.measured[0].loss, named),
    )


def _finite_batch(spec: NetSpec) -> Part:
    rates = {
        name: {
            batch: _rate(NetSpec(depth=6, activation=name, norm="batch", batch=batch))
            for batch in _BATCHES
        }
        for name in _DRAWN
    }
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


def _matters(spec: NetSpec) -> Part:
    rows = []
    for batch in _LISTED:
        found = _rate(NetSpec(depth=6, norm="batch", batch=batch))
        rows.append(
            [
                "endless" if batch == inf else str(batch),
                f"{found:.4f}",
                f"×{found ** (spec.depth / 2 - 1):.3g}",
                f"{16 / log(found):.3g} layers",
            ]
        )
    text = paragraphs(
        f"Over {spec.depth} layers it is a factor of a few in RMS, which an optimizer can live "
        "with; and initialization "
        "is not training, for the first steps change the scales of all layers. But the growth is "
        "exponential. Yang and "
        "others trained such networks at every depth and found that they stop learning near 16 / "
        "ln λ layers, whatever "
        "the batch size, where no skip connections carry the gradient past the norm:",
    )
    headings = ["batch", "λ", f"RMS, layer {spec.depth - 1} to 1", "trains up to about"]
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


def _rate(spec: NetSpec) -> float:
    return rate_of(rate(predict(spec)))
