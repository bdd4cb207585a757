"""Batch Norm's backward pass for a terminal of 80 columns: the circuit, then a step for each node,
then what follows."""

from collections.abc import Iterator
from textwrap import wrap

from rich.cells import cell_len

from depthscale._explain import SYMBOLS, BatchnormWalk, Identity, Passed, Samples, formula_line
from depthscale._report.short_numbers import short

_WIRES = """

 x ─┬─────────────────▶ centre ─┬─────────────────────────────────────────────┐
    │                     ▲     │                                             │
    │                     │     │                                             │
    │                     │     │                                             │
    └─────▶ mean ─────────┘     └─▶ square ───▶ variance ───▶ √ ───▶ inverse ─┤
                                                                              │
                                                                              │
                                                                              │
 y ◀──────── shift ◀───────── scale ◀───────── normalize ◀────────────────────┘
               ▲                ▲

             beta             gamma

"""
# Where an edge's numbers stand: the line of its wire and the column of their middle.
_PLACES = {
    ("x", "centre"): (2, 13),
    ("x", "mean"): (6, 8),
    ("mean", "centre"): (6, 18),
    ("centre", "normalize"): (2, 54),
    ("centre", "square"): (6, 30),
    ("square", "variance"): (6, 42),
    ("variance", "square root"): (6, 55),
    ("square root", "inverse"): (6, 65),
    ("inverse", "normalize"): (6, 74),
    ("normalize", "scale"): (10, 41),
    ("scale", "shift"): (10, 24),
    ("shift", "y"): (10, 6),
    ("beta", "shift"): (13, 15),
    ("gamma", "scale"): (13, 32),
}
_SHOWN = 4  # samples in a row


class Heading(str):
    """A line above a step."""

    __slots__ = ()


def walk_lines(walk: BatchnormWalk) -> Iterator[str]:
    """Everything, line by line; a step's first line is a Heading."""
    shape = " x ".join(map(str, walk.shape))
    leaves = ", ".join(f"{name} {short(walk.leaves[name][0])}" for name in ("gamma", "beta"))
    yield (
        f"Batch Norm, node by node: input {shape}, neuron {walk.neuron} over {walk.samples} values,"
    )
    yield f"{leaves}, eps {short(walk.eps)}."
    yield ""
    yield "The circuit, for the first value: forward above the wire, dE/d below it."
    yield from _circuit(walk)
    yield ""
    if walk.samples > _SHOWN:
        yield (
            f"The walk back. The first {_SHOWN} of {walk.samples} values are shown; sums Σ and "
            "N are over all."
        )
    else:
        yield "The walk back. Σ is the sum over the values, N their number."
    for step in walk.steps:
        yield ""
        yield from _step(step)
    yield ""
    yield Heading("step 0   x: what flowed to it adds up")
    yield _row("dE/dx", "from centre + from mean", walk.gradients["x"])
    yield ""
    yield from _shares(walk)
    for check in walk.checks:
        yield ""
        yield from _check(check)


def _circuit(walk: BatchnormWalk) -> list[str]:
    lines = [list(line.ljust(79)) for line in _WIRES.splitlines()]
    for edge, (value, gradient) in walk.edges().items():
        row, middle = _PLACES[edge]
        for at, number in ((row - 1, value), (row + 1, gradient)):
            written = short(number[0], 3)
            start = max(0, min(middle - len(written) // 2, 79 - len(written)))
            lines[at][start : start + len(written)] = written
    return ["".join(line).rstrip() for line in lines]


def _step(step: Passed) -> Iterator[str]:
    formula = f"{step.symbol} == {step.value}"
    yield Heading(f"step {step.step}   {step.node}: {formula_line(formula)}")
    yield from (f"  {line}" for line in wrap(step.says, 76))
    yield _row(formula_line(step.symbol), "", step.numbers)
    yield _row("dE/d" + formula_line(step.symbol), "arrives", step.arriving)
    for flow in step.flows:
        slope = f"slope({step.symbol}, {SYMBOLS[flow.to]}) == {flow.local}"
        yield _row(f"to {flow.to}", formula_line(slope), flow.local_numbers)
        yield _row(f"  {flow.name}", formula_line(flow.value), flow.numbers)


def _row(what: str, formula: str, numbers: Samples) -> str:
    columns = "".join(f"{short(number):>10}" for number in numbers[:_SHOWN])
    return f"  {_padded(what, 14)} {_padded(formula, 23)}{columns}".rstrip()


def _padded(written: str, width: int) -> str:
    """Letters with a hat are two characters in one place."""
    return written + " " * (width - cell_len(written))


def _shares(walk: BatchnormWalk) -> Iterator[str]:
    yield "Three ways lead from dE/dx̂ to dE/dx: direct (dxmu1), through the mean (dx2)"
    yield "and through the variance (dxmu2). Squared and summed, against the direct one:"
    for way in ("mean", "variance"):
        yield f"  through the {way:<10} {short(walk.shares[f'through_{way}'], 3)}"


def _check(check: Identity) -> Iterator[str]:
    yield from wrap(f"{'✓' if check.holds else '✗'} {check.statement}", 78, subsequent_indent="  ")
    yield f"    {formula_line(check.formula)}"
    yield f"    left {short(check.measured)}, right {short(check.predicted)}"
