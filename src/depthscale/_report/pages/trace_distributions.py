"""Distributions of a trace's gradients and activations, block by block, and what number formats
would lose of them."""

from depthscale._report.chart.folds import Folding, short
from depthscale._report.chart.magnitudes import lost, ridgeline
from depthscale._report.chart.theme import ACTIVATION_COLOUR, GRADIENT_COLOUR
from depthscale._report.chart.trace_charts import PLACES
from depthscale._report.page import Part, section, tag
from depthscale._report.pages.magnitude_figures import losses, ridges
from depthscale.run import Run
from depthscale.sketch import Sketch


def distributions(trace: Run, blocks: Folding) -> Part:
    """Of the gradient, then of the activation: a ridge at the end of each block, and the losses."""
    gradients = _distribution(
        "gradient", "dE/dx", [op.gradient for op in trace.ops], blocks, GRADIENT_COLOUR
    )
    activations = _distribution(
        "activation", "x", [op.activation for op in trace.ops], blocks, ACTIVATION_COLOUR
    )
    return section("distributions", "Distributions over every magnitude", *gradients, *activations)


def _distribution(
    name: str, symbol: str, sketches: list[Sketch | None], blocks: Folding, colour: str
) -> list[Part | str]:
    if not any(sketch is not None and sketch.tally.nonzero for sketch in sketches):
        return [tag("p", f"No {name} but 0 was seen.", class_="note")]
    word = "step of depth" if blocks.step else "block"
    names = {block.last: short(block.name) for block in blocks.parts}
    at_ends = [sketch if i in names else None for i, sketch in enumerate(sketches)]
    title = f"Size of the {name}'s entries at the end of each {word}"
    says = (
        f"A ridge is the distribution of |{symbol}| over all entries of one operation's output, "
        "scaled to one height, its RMS marked. "
    )
    rows = lost(sketches, [range(block.first, block.last + 1) for block in blocks.parts])
    lost_says = (
        f"Share of entries that rounding {_turns(rows)}, without loss scaling: in each {word}, "
        "where it is largest."
    )
    return [
        ridges(name, ridgeline(at_ends, symbol, colour, names), title, says, at_ends),
        losses(name, rows, len(sketches) - 1, lost_says, PLACES),
    ]


def _turns(rows: list[dict]) -> str:
    kinds = {row["kind"] for row in rows}
    if len(kinds) > 1:
        return "turns into 0 (solid) or takes beyond the format's range (dashed)"
    return "turns into 0" if "underflow" in kinds else "takes beyond the format's range"
