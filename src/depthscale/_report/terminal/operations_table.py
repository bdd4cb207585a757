"""The operations of a trace as a table for a terminal, and the account of its gradient."""

from collections.abc import Iterator, Sequence
from math import isfinite, isnan

from rich.table import Table

from depthscale._report.short_names import cut_middle
from depthscale._report.terminal.blocks_table import power
from depthscale.measure import Analysis, Ledger
from depthscale.run import Reading, Run

_HEADINGS = (
    "operation",
    "what",
    "shape",
    "activation\nRMS",
    "gradient\nRMS",
    "log2 gain\nbackward",
)
OPERATION_GAIN = (
    "log2 gain backward: the gradient's squared norm that leaves an operation, over what "
    "arrives at it (+1: twice as much)"
)


def operations_table(trace: Run, shown: Sequence[Reading], width: int, cut: str) -> Table:
    """Operations from the input to the output, in as many columns as there are; long names lose
    their middle."""
    account = Analysis.of(trace).ledger
    gains = (
        {entry.id: entry.log2_gain_norm2 for entry in account.entries}
        if isinstance(account, Ledger)
        else {}
    )
    rows = [_row(op, gains) for op in shown]
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
        table.add_row(cut_middle(name, room, cut), *others)
    return table


def _row(op: Reading, gains: dict[int, float]) -> tuple[str, ...]:
    gain = gains.get(op.id)
    return (
        op.name.removesuffix(f".{op.op}"),
        op.op if len(op.op) <= 16 else op.op[:15] + ".",
        "x".join(map(str, op.shape)) or "scalar",
        power_or_blank(op.log2_activation_ms),
        power_or_blank(op.log2_gradient_ms),
        "" if gain is None or not op.edges else f"{_rounded(gain):+.2f}",
    )


def account_lines(trace: Run) -> Iterator[str]:
    account = Analysis.of(trace).ledger
    if not isinstance(account, Ledger):
        return
    parts = ", ".join(
        f"{kind} {value:+.2f}" for kind, value in account.by_kind[:6] if abs(value) >= 0.005
    )
    total = f"2^{_rounded(account.total_log2_norm2):.2f}"
    yield (
        f"from the output to {lowest(trace)} the gradient's squared norm changes by {total}: "
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


def power_or_blank(log2_ms: float) -> str:
    return "" if isnan(log2_ms) else "0" if log2_ms == float("-inf") else power(log2_ms / 2)


def lowest(trace: Run) -> str:
    """Where the gradient's account ends: the input, unless none gets any gradient."""
    begun = [trace.ops[op] for op, _ in trace.sources]
    return (
        begun[0].name
        if begun and not any(op.is_input or op.is_embedding for op in begun)
        else "the input"
    )
