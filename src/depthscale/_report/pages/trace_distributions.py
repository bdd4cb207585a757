"""Distributions of a trace's gradients and activations, block by block, and what number formats
would lose of them."""

from collections.abc import Sequence

from depthscale._report.chart.folds import Fold
from depthscale._report.chart.magnitudes import lost, ridgeline
from depthscale._report.chart.theme import ACTIVATION_COLOUR, GRADIENT_COLOUR
from depthscale._report.chart.trace_charts import PLACES
from depthscale._report.page import Part, gathered, section, tag
from depthscale._report.pages.magnitude_figures import losses, ridges
from depthscale.run import Run
from depthscale.sketch import FORMATS, Sketch


def distributions(trace: Run, parts: Sequence[Fold]) -> Part:
    """Of the gradient and of the activation a ridge at the end of each block, in the model's own
    number type; behind a switch what other types would lose."""
    both = (
        ("gradient", "dE/dx", [op.gradient for op in trace.ops], GRADIENT_COLOUR),
        ("activation", "x", [op.activation for op in trace.ops], ACTIVATION_COLOUR),
    )
    own = {op.dtype for op in trace.ops} & {*FORMATS}
    drawn = [_ridges(*each, parts, own) for each in both]
    others = [_losses(name, sketches, parts) for name, _, sketches, _ in both]
    title = tag("summary", "What other number formats would lose: float16, bfloat16, float8")
    behind = gathered(Part(title), *others, around="details", class_="more")
    return section("distributions", "Distributions over every magnitude", *drawn, behind)


def _is_zero(sketches: Sequence[Sketch | None]) -> bool:
    return not any(sketch is not None and sketch.tally.nonzero for sketch in sketches)


def _ridges(
    name: str,
    symbol: str,
    sketches: list[Sketch | None],
    colour: str,
    parts: Sequence[Fold],
    formats: set[str],
) -> Part | str:
    if _is_zero(sketches):
        return tag("p", f"No {name} but 0 was seen.", class_="note")
    names = {part.last: part.label for part in parts}
    at_ends = [sketch if i in names else None for i, sketch in enumerate(sketches)]
    title = f"Size of the {name}'s entries at the end of each block"
    says = (
        f"A ridge is the distribution of |{symbol}| over all entries of one operation's output, "
        "scaled to one height, its RMS marked. "
    )
    chart = ridgeline(at_ends, symbol, colour, names, formats)
    return ridges(name, chart, title, says, at_ends, formats)


def _losses(name: str, sketches: list[Sketch | None], parts: Sequence[Fold]) -> Part | str:
    if _is_zero(sketches):
        return ""
    rows = lost(sketches, [range(part.first, part.last + 1) for part in parts])
    says = (
        f"Share of entries that rounding {_turns(rows)}, without loss scaling: in each block, "
        "where it is largest."
    )
    return losses(name, rows, len(sketches) - 1, says, PLACES)


def _turns(rows: list[dict]) -> str:
    kinds = {row["kind"] for row in rows}
    if len(kinds) > 1:
        return "turns into 0 (solid) or takes beyond the format's range (dashed)"
    return "turns into 0" if "underflow" in kinds else "takes beyond the format's range"
