"""The page of a trace: verdict, depth, distributions, the ledger, the operations by module and as a
table, findings, coverage."""

import json
from math import isfinite, isinf

import numpy as np

from depthscale._diagnose import Diagnosis, Finding, diagnose
from depthscale._report.chart import trace_charts as charts
from depthscale._report.chart.folds import Fold, Folding, folded
from depthscale._report.page import (
    Html,
    Part,
    asset,
    bullets,
    contents,
    figure,
    gathered,
    headline,
    joined,
    readout,
    rms,
    section,
    sheet,
    table,
    table_of,
    tag,
    trace_provenance,
)
from depthscale._report.pages.steps_page import steps_section
from depthscale._report.pages.trace_distributions import distributions
from depthscale._report.phrases import between, rounded, sentence
from depthscale.errors import DepthscaleError, UnreliableGrowth
from depthscale.measure import Analysis, Ledger
from depthscale.run import Array, Details, Run

_MOST_SHOWN = 40  # things not seen
_LARGEST_LOG2 = 1000.0
_LARGEST_SHOWN = 40.0
_CONTENTS = {
    "findings": "Findings",
    "distributions": "Distributions",
    "ledger": "Ledger",
    "operations": "Operations",
}


def trace_page(trace: Run) -> str:
    diagnosis = diagnose(trace)
    account, theory = Analysis.of(trace).ledger, _theory(trace)
    known = account if isinstance(account, Ledger) else None
    blocks = folded(trace, known)
    parts = [
        _first_screen(trace, diagnosis, theory),
        _findings(trace, diagnosis),
        *_steps(trace),
        distributions(trace, blocks),
        _waterfall(account, blocks)
        if isinstance(account, Ledger)
        else section("ledger", "The ledger", tag("p", str(account))),
        _blocks(trace, blocks, known is not None),
        _operations(trace, known, theory),
        _coverage(trace),
        trace_provenance({trace.model: trace}),
    ]
    return sheet(f"{trace.model}: {diagnosis.verdict}", parts, last=len(trace.ops) - 1)


def _steps(trace: Run) -> list[Part]:
    """What the optimizer's next step does, where one was given with a loss."""
    found = Analysis.of(trace).first_steps
    return [] if found is None else [steps_section(found)]


def _theory(trace: Run) -> Run | None:
    """Where theory knows the gradient of at least half of the operations that every path
    crosses."""
    try:
        found = Analysis.of(trace).theory
        known = [isfinite(found.ops[op].log2_gradient_ms) for op in trace.graph.dominators]
    except DepthscaleError:
        return None
    return found if known and sum(known) >= len(known) / 2 else None


def _first_screen(trace: Run, diagnosis: Diagnosis, theory: Run | None) -> Part:
    head = headline(
        f"depthscale probe, {trace.mode} mode, {len(trace.ops):,} operations, batch of "
        f"{trace.batch}{_networks(trace)}",
        trace.model,
        sentence(diagnosis.verdict),
    )
    hero = figure(
        "depth",
        charts.depth_chart(trace, diagnosis, theory),
        "Gradient and activation along depth",
        _legend(trace, diagnosis, theory),
        axis="x",
    )
    hint = "Click a point, a bar or a row (or use the arrow keys) to follow one operation."
    rate = tag("p", _rate(trace, diagnosis.predicted_rate))
    return joined(head, rate, hero, readout(hint), contents(_CONTENTS))


def _legend(trace: Run, diagnosis: Diagnosis, theory: Run | None) -> str:
    measured = "as measured, since theory has no rule for this model"
    says = (
        "Root mean square of every operation's output and of the gradient that arrives there, on "
        "a logarithmic scale; the lines go through the operations that every path crosses, "
        + (measured if theory is None else "as theory has them")
    )
    beside = len(trace.graph.dominators) < len(trace.ops)
    says += "; small and faint: operations beside them." if beside else "."
    if trace.passes > 1:
        over = "networks" if trace.networks > 1 else "cotangents"
        says += f" Bars: ± 2 standard errors over {trace.passes} {over}."
    return says + (" Dashed: what the findings name." if charts.guilty(trace, diagnosis) else "")


def _networks(trace: Run) -> str:
    return f", {trace.networks} networks" if trace.networks > 1 else ""


def _rate(trace: Run, predicted: float) -> str:
    """The growth with its interval, and theory's, where it has one."""
    found = Analysis.of(trace).gradient
    if isinstance(found, UnreliableGrowth):
        return sentence(str(found))
    where = f"steps {found.first_layer} to {found.last_layer}"
    return (
        f"Gradient: ×{rounded(found.rate, found.stderr)} per {found.step} in mean square "
        f"(95 % interval {between(found)}, {where}), "
        f"×{found.rms_rate:.4g} in RMS."
        + (f" Theory: ×{predicted:.5g}." if isfinite(predicted) else "")
    )


def _findings(trace: Run, diagnosis: Diagnosis) -> Part:
    ids = {op.name: op.id for op in trace.ops}
    cards = [_finding(each, ids.get(each.where)) for each in diagnosis.findings]
    return section("findings", "Findings", *(cards or [tag("p", "None.")]))


def _finding(found: Finding, at: int | None) -> Html:
    where = (
        tag("button", found.where, type="button", class_="op", data_at=at)
        if at is not None
        else found.where
    )
    evidence = [
        f"{name} = {_plain(value)}"
        for name, value in found.evidence.items()
        if value is not None and value == value
    ]
    lines = [tag("p", sentence(found.says))]
    lines += [tag("p", tag("strong", "Try: "), found.advice)] if found.advice else []
    lines += [tag("p", f"Evidence: {'; '.join(evidence)}", class_="note")] if evidence else []
    lines += [tag("p", f"Source: {found.source}", class_="note")] if found.source else []
    title = tag("h3", f"{found.severity}: {found.rule}", *([" at ", where] if found.where else []))
    return tag("div", title, *lines, class_=f"finding {found.severity}")


def _plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _waterfall(account: Ledger, blocks: Folding) -> Part:
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
        f"{_times(account.total_log2_norm2)}. "
        f"Multiplied up along all paths, the operations' own gains account for it; {closes} (in "
        "log2).",
    )
    word = "step of depth" if blocks.step else "block"
    says = (
        f"Each {word}'s part, in the order in which the gradient meets it; orange where it "
        "grows, blue where it shrinks."
    )
    falls = figure(
        "waterfall",
        charts.waterfall(blocks.parts, account.total_log2_norm2),
        f"By {word}",
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


def _blocks(trace: Run, blocks: Folding, known: bool) -> Part:
    """Blocks that open to their operations, with what feeds what; the script fills them from the
    table's rows when they open.

    known: whether there is a ledger, whose gains colour them.
    """
    title, note = ("step of depth", f"A step is {blocks.step}. ") if blocks.step else ("module", "")
    if known:
        note += (
            "Coloured by what they make of the squared gradient: orange grows it, blue shrinks it. "
        )
    note += (
        "Open a block for its operations; lines lead to each from those that it reads, from "
        "the block's top where these "
    )
    note += "lie before it."
    folds = [_block(each, trace, named=bool(blocks.step), known=known) for each in blocks.parts]
    listed = section("modules", f"Operations by {title}", tag("p", note, class_="note"), *folds)
    sources = [sorted({edge.source for edge in op.edges}) for op in trace.ops]
    return Part(listed.body, data={"sources": sources}, script=asset("trace.js"))


def _block(block: Fold, trace: Run, *, named: bool, known: bool) -> Html:
    """named: whether its first and last operation are said; known: whether its gain is."""
    first, last = trace.ops[block.first].name, trace.ops[block.last].name
    within = [tag("span", f"{first} to {last}", class_="note")] if named and first != last else []
    gain = (
        [tag("span", _times(block.log2_gain), class_="gain", data_gain=f"{block.log2_gain:.4f}")]
        if known
        else []
    )
    summary = tag("summary", tag("span", block.name, " ", *within), *gain)
    return tag(
        "details",
        summary,
        class_="block",
        data_name=block.name,
        data_first=block.first,
        data_last=block.last,
    )


def _operations(trace: Run, account: Ledger | None, theory: Run | None) -> Part:
    entries = {entry.id: entry for entry in account.entries} if account else {}

    def of_entry(name: str) -> Array:
        return np.array(
            [getattr(entries[op.id], name) if op.id in entries else np.nan for op in trace.ops]
        )

    columns: dict[str, Array | list[str]] = {
        "operation": np.arange(float(len(trace.ops))),
        "name": [op.name for op in trace.ops],
        "kind": [op.op for op in trace.ops],
        "output": ["×".join(map(str, op.shape)) or "scalar" for op in trace.ops],
        "activation RMS": rms(np.array([op.log2_activation_ms for op in trace.ops])),
        "gradient RMS": rms(np.array([op.log2_gradient_ms for op in trace.ops])),
    }
    if theory is not None:
        known = charts.predicted(trace, theory)
        columns |= {
            f"predicted {name} RMS": rms(known[name]) for name in ("activation", "gradient")
        }
    if account:
        columns["squared gradient ×"] = _factor(of_entry("log2_gain_norm2"))
        columns["squared signal ×"] = _factor(of_entry("forward"))
        columns["share of the gradient"] = of_entry("share")
        columns["log2 contribution"] = of_entry("contribution")
    for name, heading in Details.headings().items():
        values = np.array([getattr(op.details, name) for op in trace.ops], float)  # None is nan
        if np.isfinite(values).any():
            columns[heading] = values
    return section("operations", "Operations", table_of(columns))


def _times(log2_gain: float) -> str:
    """As a factor, or as a power of two where that says more."""
    return f"×{2.0**log2_gain:.3g}" if abs(log2_gain) < _LARGEST_SHOWN else f"×2^{log2_gain:.0f}"


def _factor(log2_gain: Array) -> Array:
    return np.where(
        np.abs(log2_gain) < _LARGEST_LOG2,
        2.0 ** np.clip(log2_gain, -_LARGEST_LOG2, _LARGEST_LOG2),
        np.nan,
    )


def _coverage(trace: Run) -> Part:
    seen = trace.coverage
    said = tag(
        "p",
        f"{seen.ops_seen:,} operations were seen, {seen.ops_with_gradient:,} of them with a "
        f"gradient; {seen.nodes_seen:,} of "
        f"{seen.autograd_nodes:,} autograd nodes lie inside them ({seen.share:.1%}).",
    )
    rows = [[each.op, each.why, f"{each.nodes:,}"] for each in seen.not_seen[:_MOST_SHOWN]]
    more = len(seen.not_seen) - len(rows)
    missed = [table(["not seen", "why", "autograd nodes"], rows, class_="wrapped")] if rows else []
    missed += [tag("p", f"and {more:,} more", class_="note")] if more > 0 else []
    noted = [bullets(trace.notes)] if trace.notes else []
    return section("coverage", "Coverage", said, *missed, *noted)
