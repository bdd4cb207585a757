"""Blocks on a trace's page: their table, their list, which opens to operations and what feeds what,
and their parts of the ledger."""

from collections.abc import Sequence
from math import isinf, isnan

from depthscale._report.chart import trace_charts as charts
from depthscale._report.chart.folds import Fold
from depthscale._report.page import Html, Part, asset, figure, gathered, section, table, tag
from depthscale._report.phrases import rounded
from depthscale._report.short_names import cut_middle
from depthscale.measure import Ledger
from depthscale.run import BlockRow, Run

_LARGEST_SHOWN = 40.0  # log2 of a factor, beyond which its exponent is shown
_MOST_ROWS = 60
_LETTERS = 34  # of a name
_MEASURED = "≈ stands before a theory in which a measured gain takes the place of a missing rule."


def block_table(trace: Run) -> Part:
    """The numbers of every block; towers have headings."""
    blocks = trace.blocks()
    columns = [each for each in _COLUMNS if any(each[1](row) != "–" for row in blocks)]
    towers = len(blocks.parts) > 1
    ends = [row.last for row in blocks]
    rows: list[list[str]] = []
    for row in blocks.rows[:_MOST_ROWS]:
        name = tag("span", cut_middle(row.name, _LETTERS), title=row.name)
        rows.append([name, *(form(row) for _, form in columns)])
    more = len(blocks) - len(rows)
    left = [f"and {more:,} more; run.blocks() has them all"] if more > 0 else []
    left += [_MEASURED] if _is_mixed(trace) else []
    part = section(
        "blocks",
        f"Blocks{f', in {len(blocks.parts)} towers or resolutions' if towers else ''}",
        table(["block", *(heading for heading, _ in columns)], rows, class_="named"),
        *(tag("p", each, class_="note") for each in left),
    )
    return Part(part.body, part.charts, {"ends": ends}, part.script)


def _is_mixed(trace: Run) -> bool:
    known = [row.from_theory for row in trace.blocks() if not isnan(row.theory_backward)]
    return bool(known) and not all(known)


def _theory(row: BlockRow) -> str:
    said = _gain(row.log2_theory_backward)
    return said if row.from_theory or said == "–" else f"≈{said}"


def _gain(log2_ms: float) -> str:
    return "–" if isnan(log2_ms) else times(log2_ms / 2)


def _branches(row: BlockRow) -> str:
    return " ".join(f"{ratio:.2g}" for ratio in row.branches[:3]) or "–"


_COLUMNS = (
    ("output", lambda row: "×".join(map(str, row.shape))),
    ("activation RMS", lambda row: rounded(row.activation, digits=3)),
    ("gradient RMS", lambda row: rounded(row.gradient, digits=3)),
    ("gain forward", lambda row: _gain(row.log2_forward)),
    ("gain backward", lambda row: _gain(row.log2_backward)),
    ("theory", _theory),
    ("branch over trunk", _branches),
    ("parameters' gradient", lambda row: rounded(row.parameter_gradient, digits=3)),
    ("finding", lambda row: ", ".join(row.findings) or "–"),
)


def times(log2_gain: float) -> str:
    """As a factor, or as a power of two where that says more."""
    return f"×{2.0**log2_gain:.3g}" if abs(log2_gain) < _LARGEST_SHOWN else f"×2^{log2_gain:.0f}"


def waterfall_section(account: Ledger, parts: Sequence[Fold]) -> Part:
    closes = (
        "it does not close, as not all of it was seen"
        if isinf(account.closure_error)
        else f"it closes to {account.closure_error:.0e}"
        if account.closure_error > 0
        else "it closes exactly"
    )
    text = tag(
        "p",
        "From the loss to the inputs the squared norm of the gradient changes by "
        f"{times(account.total_log2_norm2)}. "
        f"Multiplied up along all paths, the operations' own gains account for it; {closes} (in "
        "log2).",
    )
    says = (
        "Each block's part, in the order in which the gradient meets it; orange where it "
        "grows, blue where it shrinks."
    )
    falls = figure(
        "waterfall",
        charts.waterfall(parts, account.total_log2_norm2),
        "By block",
        says,
        axis="y",
    )
    kinds = figure(
        "kinds",
        charts.by_kind(account),
        "By kind of operation",
        "Large effects that cancel do so along every path.",
    )
    return section("ledger", "The ledger", text, gathered(falls, kinds, class_="pair"))


def block_list(trace: Run, parts: Sequence[Fold], known: bool) -> Part:
    """Blocks that open to their operations, with what feeds what; the script fills them from the
    table's rows when they open.

    known: whether there is a ledger, whose gains colour them.
    """
    coloured = "orange where they grow the squared gradient, blue where they shrink it; " * known
    note = (
        f"From the input to the output, {coloured}open one for its operations, with lines from "
        "what each of them reads."
    )
    folds = [_block(part, known) for part in parts]
    listed = section("modules", "Inside the blocks", tag("p", note, class_="note"), *folds)
    sources = [sorted({edge.source for edge in op.edges}) for op in trace.ops]
    return Part(listed.body, data={"sources": sources}, script=asset("trace.js"))


def _block(part: Fold, known: bool) -> Html:
    """known: whether its gain is."""
    gain = tag("span", times(part.log2_gain), class_="gain", data_gain=f"{part.log2_gain:.4f}")
    ends = {"data_name": part.name, "data_first": part.first, "data_last": part.last}
    summary = tag("summary", tag("span", part.name), *([gain] if known else []))
    return tag("details", summary, class_="block", **ends)
