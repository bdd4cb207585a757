"""A trace for a terminal: verdict, findings and what to try, a line of the gradient along depth, a
table of blocks or of operations."""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from math import isfinite, isnan
from textwrap import fill

from rich.console import RenderableType
from rich.text import Text

from depthscale._diagnose import RULE_NAMES, Diagnosis, Finding
from depthscale._report.short_names import named_with_kind
from depthscale._report.terminal.blocks_table import blocks_table, legend, power
from depthscale._report.terminal.operations_table import (
    OPERATION_GAIN,
    account_lines,
    lowest,
    operations_table,
    power_or_blank,
)
from depthscale.errors import InvalidProbe, UnreliableGrowth
from depthscale.measure import (
    SEVERITIES,
    Analysis,
    Factor,
    Growth,
    Segments,
    growth_in_words,
)
from depthscale.run import Reading, Run

_BARS, _PLAIN_BARS = "▁▂▃▄▅▆▇█", "_.-:=+*#"
_STYLES = {"error": "bold red", "warn": "yellow", "info": "dim"}
_FEW_STEPS = 4  # of depth: too few for a line of their own
_FEW_NAMES = 3  # of parameters without a gradient
_MORE = "--all: every operation; --inside NAME: a block's; --html FILE: a page with pictures"
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
    trace: Run,
    found: Diagnosis,
    *,
    whole: bool = False,
    inside: str | None = None,
    width: int,
    unicode: bool = True,
) -> Iterator[RenderableType]:
    """Everything that `depthscale probe` prints, piece by piece: the verdict, what to change, then
    blocks or operations.

    Args:
        whole: every operation instead of the blocks.
        inside: the operations of the block or module of this name instead.
        width: of the terminal, in columns.
        unicode: whether it shows more than ASCII.
    """
    cut = "…" if unicode else ".."
    yield fill(_headline(trace), width)
    yield from (
        fill(f"not seen: {each.op}: {each.why}", width, initial_indent="  ")
        for each in trace.coverage.not_seen[:5]
    )
    yield ""
    yield Text(fill(_sentence(found.verdict), width), style="bold")
    yield ""
    shown = {finding.severity != "info": [] for finding in found.findings}
    for finding in found.findings:
        shown[finding.severity != "info"].append(_finding(finding, trace, width))
    yield from shown.get(True, ())
    yield from [""] if True in shown else ()
    yield from (fill(line, width) for line in (*_growth_line(trace, found), *_missed_line(trace)))
    bars = _BARS if unicode else _PLAIN_BARS
    yield from _sparkline(_levels_along(trace), width, bars, lowest(trace))
    yield ""
    if whole or inside is not None:
        yield from _operations(trace, inside, width, cut)
    else:
        blocks = trace.blocks()
        yield blocks_table(blocks, width, cut)
        yield Text(fill(f"{legend(blocks)}. {_MORE}", width), style="dim")
    if False in shown:
        yield "\nremarks:"
        yield from shown[False]


def _operations(trace: Run, inside: str | None, width: int, cut: str) -> Iterator[RenderableType]:
    """The table of operations, and the account of the gradient."""
    ops = trace.ops if inside is None else _inside(trace, inside)
    yield operations_table(trace, ops, width, cut)
    yield fill(OPERATION_GAIN, width)
    yield from (f"\n{fill(line, width)}" for line in account_lines(trace) if inside is None)


def _inside(trace: Run, name: str) -> tuple[Reading, ...]:
    """raises: InvalidProbe for the name of no block and no module."""
    for block in trace.blocks():
        if block.name == name:
            return trace.ops[block.first : block.last + 1]
    found = tuple(op for op in trace.ops if f"{op.name}.".startswith(f"{name}."))
    if not found:
        names = [block.name for block in trace.blocks()]
        near = get_close_matches(name, names, 3, 0.3) or names[:3]
        raise InvalidProbe(f"there is no block or module {name!r}; there is {', '.join(near)}")
    return found


def _finding(finding: Finding, trace: Run, width: int) -> Text:
    """One short paragraph: the rule, where, what is the matter; then what to try."""
    kinds = {op.name: op.op for op in trace.ops}
    text = Text(f"{finding.severity:>5} ", style=_STYLES[finding.severity])
    where = named_with_kind(finding.where, kinds.get(finding.where, ""))
    body = f"{finding.rule}{f' at {where}' if where else ''}: {finding.says}"
    text.append(_indented(body, width), style="dim" if finding.severity == "info" else "")
    if finding.advice:
        text.append(f"\n{'try':>5} ", style="green")
        text.append(_indented(finding.advice, width), style="")
    return text


def _indented(body: str, width: int) -> str:
    """Filled behind a word of five letters."""
    return fill(body, width, initial_indent=" " * 6, subsequent_indent=" " * 6)[6:]


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
    seen = "all" if c.nodes_seen == c.autograd_nodes else f"{c.nodes_seen:,} of"
    return (
        f"{trace.model}, {trace.mode} mode, loss {trace.loss}{drawn}: {c.ops_seen:,} operations, "
        f"{c.ops_with_gradient:,} with gradient, {seen} {c.autograd_nodes:,} autograd nodes "
        f"seen{proved}"
    )


def _growth_line(trace: Run, diagnosis: Diagnosis) -> Iterator[str]:
    found = Analysis.of(trace).gradient
    if isinstance(found, UnreliableGrowth):
        if str(found) not in diagnosis.verdict:
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


def _missed_line(trace: Run) -> Iterator[str]:
    """Parameters without a gradient though nothing shows that they are frozen; of those that have
    one, between which sizes these lie."""
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
        says += f", RMS {' to '.join(f'{power_or_blank(levels[name])} ({name})' for name in ends)}"
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
        f"gradient RMS {power(known[0])} {drawn} {power(known[-1])} "
        f"({lowest.removeprefix('the ')} to output)"
    )
