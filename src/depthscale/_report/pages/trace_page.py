"""The page of a trace, by what is asked first: does it survive, what to change, the picture by
block; then distributions, the ledger, every operation."""

from math import isfinite

import numpy as np

from depthscale._diagnose import Diagnosis, diagnose
from depthscale._report.chart import trace_charts as charts
from depthscale._report.chart.block_charts import gains_chart, levels_chart
from depthscale._report.chart.folds import folded
from depthscale._report.page import (
    Part,
    bullets,
    contents,
    figure,
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
from depthscale._report.pages.block_sections import block_list, block_table, waterfall_section
from depthscale._report.pages.finding_cards import changes, remarks
from depthscale._report.pages.steps_page import steps_section
from depthscale._report.pages.trace_distributions import distributions
from depthscale._report.phrases import between, rounded, sentence, with_error
from depthscale.errors import DepthscaleError, UnreliableGrowth
from depthscale.measure import Analysis, Ledger
from depthscale.run import Array, Details, Run

_MOST_SHOWN = 40  # things not seen
_LARGEST_LOG2 = 1000.0
_CONTENTS = {
    "change": "What to change",
    "blocks": "Blocks",
    "distributions": "Distributions",
    "ledger": "Ledger",
    "operations": "Operations",
    "reproduce": "These numbers again",
}


def trace_page(trace: Run) -> str:
    diagnosis = diagnose(trace)
    account, theory = Analysis.of(trace).ledger, _theory(trace)
    known = account if isinstance(account, Ledger) else None
    parts = folded(trace, known)
    sections = [
        _first_screen(trace, diagnosis, theory),
        block_table(trace),
        block_list(trace, parts, known is not None),
        remarks(trace, diagnosis),
        *_steps(trace),
        distributions(trace, parts),
        waterfall_section(account, parts)
        if isinstance(account, Ledger)
        else section("ledger", "The ledger", tag("p", str(account))),
        _operations(trace, diagnosis, known, theory),
        _coverage(trace),
        trace_provenance({trace.model: trace}),
    ]
    return sheet(f"{trace.model}: {diagnosis.verdict}", sections, last=len(trace.ops) - 1)


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
    """The verdict, what to change, and the picture by block."""
    blocks = trace.blocks()
    head = headline(
        f"depthscale probe, {trace.mode} mode, batch of {trace.batch}{_networks(trace)}, "
        f"{len(blocks):,} blocks of {len(trace.ops):,} operations",
        trace.model,
        sentence(diagnosis.verdict),
    )
    beside = ", lines as theory has them" if theory is not None else ""
    hero = figure(
        "levels",
        levels_chart(blocks, trace, theory),
        "Signal and gradient, block by block",
        "Root mean square of what each block gives, and of the gradient that arrives there, on a "
        f"logarithmic scale{beside}.",
        axis="block",
    )
    gains = figure(
        "gains",
        gains_chart(blocks).properties(height=200),
        "What each block makes of them",
        "Forward: RMS behind the block over RMS in front of it. Backward: RMS of the gradient in "
        "front of the block over that behind it. At 1 nothing changes.",
        axis="block",
    )
    hint = "Click a point, a bar or a row (or use the arrow keys) to follow one block or operation."
    last = joined(tag("p", _rate(trace, diagnosis.predicted_rate)), contents(_CONTENTS))
    return joined(head, changes(trace, diagnosis), hero, readout(hint), gains, last)


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
    """The growth with its error and interval, and theory's, where it has one."""
    found = Analysis.of(trace).gradient
    if isinstance(found, UnreliableGrowth):
        return sentence(str(found))
    where = f"steps {found.first_layer} to {found.last_layer}"
    return (
        f"Per {found.step} the gradient's mean square changes by "
        f"×{with_error(found.rate, found.stderr)} (95 % interval {between(found)}, {where}), its "
        f"RMS by ×{found.rms_rate:.3g}."
        + (f" Theory: ×{rounded(predicted, found.stderr)}." if isfinite(predicted) else "")
    )


def _operations(
    trace: Run, diagnosis: Diagnosis, account: Ledger | None, theory: Run | None
) -> Part:
    """Every operation, as a chart and as a table."""
    drawn = figure(
        "depth",
        charts.depth_chart(trace, diagnosis, theory),
        "Gradient and activation of every operation",
        _legend(trace, diagnosis, theory),
        axis="x",
    )
    columns = table_of(_columns(trace, account, theory))
    return section("operations", "Every operation", drawn, columns)


def _columns(
    trace: Run, account: Ledger | None, theory: Run | None
) -> dict[str, Array | list[str]]:
    """What the table of operations shows, by heading."""
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
    return columns


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
