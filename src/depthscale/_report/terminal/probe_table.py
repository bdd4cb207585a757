"""A trace for a terminal: verdict, findings, a line of the gradient along depth, a table of
operations."""

from collections.abc import Iterator, Sequence
from math import isfinite, isnan
from textwrap import fill

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from depthscale._diagnose import RULE_NAMES, Diagnosis
from depthscale.errors import InvalidProbe, UnreliableGrowth
from depthscale.measure import (
    SEVERITIES,
    Analysis,
    Factor,
    Growth,
    Ledger,
    Segments,
    growth_in_words,
)
from depthscale.run import Reading, Run

_BARS, _PLAIN_BARS = "▁▂▃▄▅▆▇█", "_.-:=+*#"
_HEADINGS = (
    "operation",
    "what",
    "shape",
    "activation\nRMS",
    "gradient\nRMS",
    "log2 gain\nbackward",
)
_GAIN = (
    "log2 gain backward: the gradient's squared norm that leaves an operation, over what "
    "arrives at it (+1: twice as much)"
)
_STYLES = {"error": "bold red", "warn": "yellow", "info": "dim"}
_MOST_ROWS = 40
_FEW_STEPS = 4  # of depth: too few for a line of their own
_FEW_NAMES = 3  # of parameters without a gradient
_ALARMS = ("gradient-explodes", "gradient-vanishes", "gradient-mixed-growth")


def require_known(names: Sequence[str]) -> None:
    """raises: InvalidProbe for a name of --fail-on that no rule and no severity begins with."""
    for name in names:
        if name not in SEVERITIES and not any(rule.startswith(name) for rule in RULE_NAMES):
            raise InvalidProbe(
                f"--fail-on {name!r} names no severity ({', '.join(SEVERITIES)}) and no rule; "
                f"rules: {', '.join(RULE_NAMES)}"
            )


def probe_view(
    trace: Run, found: Diagnosis, *, whole: bool, width: int, unicode: bool = True
) -> Iterator[RenderableType]:
    """Everything that `depthscale probe` prints, piece by piece. / width: of the terminal, in
    columns; unicode: whether it shows more than ASCII."""
    yield fill(_headline(trace), width)
    yield from (
        fill(f"not seen: {each.op}: {each.why}", width, initial_indent="  ")
        for each in trace.coverage.not_seen[:5]
    )
    yield ""
    yield Text(fill(_sentence(found.verdict), width), style="bold")
    yield ""
    for finding in found.findings:
        text = Text(f"{finding.severity:>5} ", style=_STYLES[finding.severity])
        body = f"{finding.rule}{f' at {finding.where}' if finding.where else ''}: {finding.says}"
        body += f" (try: {finding.advice})" if finding.advice else ""
        text.append(
            fill(body, width, initial_indent=" " * 6, subsequent_indent=" " * 6)[6:], style=""
        )
        yield text
    if found.findings:
        yield ""
    yield from (
        fill(line, width) for line in (*_growth_line(trace, found), *_parameters_line(trace))
    )
    shown = trace.ops if whole else Analysis.of(trace).dominators
    yield from _sparkline(
        _levels_along(trace), width, _BARS if unicode else _PLAIN_BARS, _lowest(trace)
    )
    yield _table(trace, shown, whole, width, "…" if unicode else "..")
    if not whole:
        yield fill(
            f"{len(shown)} of {len(trace)} operations: those that every gradient path crosses "
            "(--all: every one)",
            width,
        )
    yield fill(_GAIN, width)
    yield from (f"\n{fill(line, width)}" for line in _account(trace))


def _sentence(verdict: str) -> str:
    """With a capital, unless it begins with a name, and a stop."""
    first = verdict.split(maxsplit=1)[0]
    named = any(c in first for c in "._:0123456789")
    return f"{verdict if named else verdict[:1].upper() + verdict[1:]}."


def _headline(trace: Run) -> str:
    c = trace.coverage
    drawn = f", {trace.networks} networks" if trace.networks > 1 else ""
    proved = {
        None: "",
        True: "; bit-equal to a plain run",
        False: "; NOT bit-equal to a plain run",
    }[trace.verified]
    return (
        f"{trace.model}, {trace.mode} mode, loss {trace.loss}{drawn}: {c.ops_seen} operations, "
        f"{c.ops_with_gradient} with "
        f"gradient, {c.nodes_seen} of {c.autograd_nodes} autograd nodes seen{proved}"
    )


def _growth_line(trace: Run, diagnosis: Diagnosis) -> Iterator[str]:
    found = Analysis.of(trace).gradient
    if isinstance(found, UnreliableGrowth):
        yield f"growth: {found}"
    else:
        apart = "".join(
            f", the jump at {jump.where} included"
            for jump in diagnosis.findings
            if jump.rule == "gradient-jumps"
        )
        yield (
            f"growth: {_words(found, diagnosis)}{apart}{_estimate(found, diagnosis.predicted_rate)}"
        )


def _words(found: Growth, diagnosis: Diagnosis) -> str:
    """What the gradient does, no louder than the verdict: only an alarm explodes or vanishes, and
    only a known rate is steady."""
    if found.steady:
        return "not well known" if found.vague else "steady"
    if any(finding.severity != "info" for finding in diagnosis.matching(_ALARMS)):
        return growth_in_words(found)
    return growth_in_words(found, "grows", "shrinks")


def _estimate(found: Growth, predicted: float) -> str:
    """The rate of the mean square with its error, over how many steps, and theory's; nothing where
    no one rate describes it."""
    by_factor = isinstance(found.law, Factor)
    per = "" if by_factor and not found.steady else f" per {found.step}"
    if isinstance(found.law, Segments):
        return ""
    beside = f", theory x{predicted:.4g}" if isfinite(predicted) else ""
    rate = f"x{found.rate:.4g} ± {found.stderr:.2g}{per}, {found.steps} steps{beside}"
    return f" (mean square {rate})" if by_factor else f", on average {rate}"


def _parameters_line(trace: Run) -> Iterator[str]:
    """How many parameters have a gradient, between which sizes, and which have none though nothing
    shows that they are frozen."""
    params = [each for each in trace.params if each.value is not None]
    if not params:
        return
    frozen = {name for op in trace.ops if op.settings.get("frozen") for name, _, _ in op.weights}
    levels = {
        each.name: each.gradient.log2_mean_square() for each in params if each.gradient is not None
    }
    missed = [each.name for each in params if each.gradient is None and each.name not in frozen]
    still = len(params) - len(levels) - len(missed)
    says = (
        f"parameters: {len(levels)} of {len(params)} with a "
        f"gradient{f' ({still} frozen)' if still else ''}"
    )
    known = sorted(
        (name for name, level in levels.items() if not isnan(level)), key=levels.__getitem__
    )
    if known:
        ends = dict.fromkeys((known[0], known[-1]))  # the same where there is one
        says += f", RMS {' to '.join(f'{_power_or_blank(levels[name])} ({name})' for name in ends)}"
    if missed:
        more = f" and {len(missed) - _FEW_NAMES} more" if len(missed) > _FEW_NAMES else ""
        says += f"; none reaches {', '.join(missed[:_FEW_NAMES])}{more}"
    yield says


def _levels_along(trace: Run) -> list[float]:
    """log2 of the gradient's RMS from the input to the output: there, and between them at the top
    of every step of depth; at all operations that every path crosses where steps are few."""
    analysis = Analysis.of(trace)
    crossed, found = analysis.dominators, analysis.depth
    if found is not None and len(found.pairs) > _FEW_STEPS and crossed:
        tops = (trace.ops[i] for i in (found.pairs[0][0], *(top for _, top in found.pairs)))
        crossed = (crossed[0], *tops, crossed[-1])
    return [op.log2_gradient_ms / 2 for op in crossed]


def _sparkline(levels: Sequence[float], width: int, bars: str, lowest: str) -> Iterator[str]:
    """Bars from the input (left) to the output (right). / lowest: name of what stands on the
    left."""
    known = [level for level in levels if isfinite(level)]
    if len(known) < 2:
        return
    room = width - 35 - len(lowest)
    picked = (
        [levels[round(i * (len(levels) - 1) / max(room - 1, 1))] for i in range(room)]
        if len(levels) > room
        else levels
    )
    low, high = min(known), max(known)
    drawn = "".join(
        " " if not isfinite(v) else bars[round((v - low) / max(high - low, 1e-9) * 7)]
        for v in picked
    )
    yield (
        f"gradient RMS {_power(known[0])} {drawn} {_power(known[-1])} "
        f"({lowest.removeprefix('the ')} to output)"
    )


def _lowest(trace: Run) -> str:
    """Where the gradient's account ends: the input, unless none gets any gradient."""
    begun = [trace.ops[op] for op, _ in trace.sources]
    return (
        begun[0].name
        if begun and not any(op.is_input or op.is_embedding for op in begun)
        else "the input"
    )


def _power(log2_value: float) -> str:
    if abs(log2_value) > 40:
        return f"2^{log2_value:.0f}"
    value = 2.0**log2_value
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}" if value >= 1e-3 else f"{value:.1e}"


def _table(trace: Run, shown: Sequence[Reading], whole: bool, width: int, cut: str) -> Table:
    """Operations from the input to the output, in as many columns as there are; long names lose
    their beginning."""
    account = Analysis.of(trace).ledger
    gains = (
        {entry.id: entry.log2_gain_norm2 for entry in account.entries}
        if isinstance(account, Ledger)
        else {}
    )
    half = _MOST_ROWS // 2
    rows = [_row(op, gains) for op in shown]
    if len(rows) > _MOST_ROWS and not whole:
        rows = [*rows[:half], ("...", *[""] * 5), *rows[-half:]]
    widest = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    least = [0, 0, 0, *(max(map(len, heading.split("\n"))) for heading in _HEADINGS[3:])]
    room = max(
        width
        - sum(max(a, b) for a, b in list(zip(widest, least, strict=True))[1:])
        - 2 * len(least),
        12,
    )
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for k, heading in enumerate(_HEADINGS):
        table.add_column(heading, justify="left" if k < 3 else "right", no_wrap=True)
    for name, *others in rows:
        table.add_row(
            name if len(name) <= room else cut + name[len(name) + len(cut) - room :], *others
        )
    return table


def _row(op: Reading, gains: dict[int, float]) -> tuple[str, ...]:
    gain = gains.get(op.id)
    return (
        op.name.removesuffix(f".{op.op}"),
        op.op if len(op.op) <= 16 else op.op[:15] + ".",
        "x".join(map(str, op.shape)) or "scalar",
        _power_or_blank(op.log2_activation_ms),
        _power_or_blank(op.log2_gradient_ms),
        "" if gain is None or not op.edges else f"{_rounded(gain):+.2f}",
    )


def _account(trace: Run) -> Iterator[str]:
    account = Analysis.of(trace).ledger
    if not isinstance(account, Ledger):
        return
    parts = ", ".join(
        f"{kind} {value:+.2f}" for kind, value in account.by_kind[:6] if abs(value) >= 0.005
    )
    total = f"2^{_rounded(account.total_log2_norm2):.2f}"
    yield (
        f"from the output to {_lowest(trace)} the gradient's squared norm changes by {total}: "
        f"{parts} "
        f"({_closes(account)})"
    )
    yield from account.open


def _closes(account: Ledger) -> str:
    if isfinite(account.closure_error):
        return f"closes to {account.closure_error:.0e}"
    return "does not close, as not all of it was seen"


def _rounded(value: float) -> float:
    """To two decimals; never a 0 with a minus."""
    return round(value, 2) + 0.0


def _power_or_blank(log2_ms: float) -> str:
    return "" if isnan(log2_ms) else "0" if log2_ms == float("-inf") else _power(log2_ms / 2)
