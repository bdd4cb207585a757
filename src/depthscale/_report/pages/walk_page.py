"""Batch Norm's backward pass as a page: the circuit, and under it one panel for each node, stepped
through by button and key."""

from collections.abc import Sequence
from html import escape

from depthscale._explain import (
    SYMBOLS,
    BatchnormWalk,
    Identity,
    NodeFlow,
    Passed,
    Samples,
    draw_formula,
)
from depthscale._report.chart.circuit_svg import circuit_svg
from depthscale._report.page import asset, document
from depthscale._report.page import formula as written
from depthscale._report.short_numbers import short

_SHOWN = 8  # samples in a row
_WAYS = {"mean": ("the mean", "dx2"), "variance": ("the variance", "dxmu2")}


def walk_page(walk: BatchnormWalk) -> str:
    """The whole page; it needs no network, and without JavaScript it shows every panel."""
    panels = [_before(walk), *map(_panel, walk.steps), _after(walk)]
    dots = "".join(
        f'<button class="dot" data-panel="{i}" aria-label="{_dot(i, walk)}"></button>'
        for i in range(len(panels))
    )
    body = (
        f"<h1>Batch Norm’s backward pass, node by node</h1>{_setting(walk)}"
        f'<div class="circuit" tabindex="0">{circuit_svg(walk)}</div>'
        '<p class="key"><span class="value">forward value</span> above a wire, <span '
        'class="gradient">gradient</span> below, '
        "for the first sample.</p>"
        '<nav class="steps"><button id="back">← Back</button>'
        f'<span class="dots">{dots}</span><button id="next">Forward →</button></nav>'
        f'<div id="panels" aria-live="polite">{"".join(panels)}</div>{_follows(walk)}'
    )
    return document(
        "Batch Norm's backward pass, node by node",
        body,
        style=asset("walk.css"),
        script=asset("walk.js"),
    )


def _setting(walk: BatchnormWalk) -> str:
    shape = " × ".join(map(str, walk.shape))
    gamma, beta = (_number(walk.leaves[name][0]) for name in ("gamma", "beta"))
    shown = (
        f" The tables show its first {_SHOWN}; sums are over all." if walk.samples > _SHOWN else ""
    )
    return (
        f'<p class="lead">Input {shape}; neuron {walk.neuron}, its mean over N = {walk.samples} '
        "values; "
        f"γ = {gamma}, β = {beta}, ε = {_number(walk.eps)}.{shown}</p>"
    )


def _before(walk: BatchnormWalk) -> str:
    rows = [_row("leaf", _math("x"), "the input", walk.leaves["x"])]
    rows += [
        _row("value", _math(step.symbol), _math(f"{step.symbol} == {step.value}"), step.numbers)
        for step in reversed(walk.steps)
    ]
    rows.append(_row("arriving", _math("d(y)"), "arrives from above", walk.dout))
    says = (
        "The forward pass, left to right. Then the gradient of some loss E arrives at y, and "
        "the walk back begins."
    )
    return _section(0, "The forward pass", says, rows)


def _panel(step: Passed) -> str:
    value = _math(f"{step.symbol} == {step.value}")
    rows = [
        _row("value", _math(step.symbol), "its value", step.numbers),
        _row("arriving", _math(f"d({step.symbol})"), "arrives", step.arriving),
    ]
    for flow in step.flows:
        rows += _flow(step, flow)
    return _section(
        10 - step.step, f"Step {step.step}: {step.node}", step.says, rows, formula=value
    )


def _flow(step: Passed, flow: NodeFlow) -> Sequence[str]:
    slope = f"slope({step.symbol}, {SYMBOLS[flow.to]})"
    return (
        _row(
            "local",
            "local",
            _math(f"{slope} == {flow.local}"),
            flow.local_numbers,
            group=f"to {flow.to}",
        ),
        _row("flow", f"<code>{flow.name}</code>", _math(flow.value), flow.numbers),
    )


def _after(walk: BatchnormWalk) -> str:
    arrived = {step.node: flow for step in walk.steps for flow in step.flows if flow.to == "x"}
    rows = [
        _row("flow", f"<code>{flow.name}</code>", f"from {name}", flow.numbers)
        for name, flow in reversed(arrived.items())
    ]
    rows += [
        _row("result", _math(f"d({name})"), f"<code>d{name}</code>", walk.gradients[name])
        for name in ("x", "gamma", "beta")
    ]
    says = (
        "x goes two ways, to centre and to mean, so what comes back along both adds up. "
        "Nothing is left to pass."
    )
    return _section(10, "Step 0: x", says, rows)


def _section(number: int, title: str, says: str, rows: Sequence[str], formula: str = "") -> str:
    return (
        f'<section class="panel" data-panel="{number}"><h2>{escape(title)}</h2>'
        f"{f'<p class=formula>{formula}</p>' if formula else ''}<p>{escape(says)}</p>"
        f'<div class="wide"><table>{"".join(rows)}</table></div></section>'
    )


def _row(kind: str, what: str, formula: str, numbers: Samples, group: str = "") -> str:
    cells = "".join(f"<td>{_number(number)}</td>" for number in numbers[:_SHOWN])
    if len(numbers) > _SHOWN:
        cells += "<td>…</td>"
    headed = f'<tr class="group"><th colspan="99">{escape(group)}</th></tr>' if group else ""
    return (
        f'{headed}<tr class="{kind}"><th>{what}</th><td class="formula">{formula}</td>{cells}</tr>'
    )


def _follows(walk: BatchnormWalk) -> str:
    shares = "".join(
        f"<tr><th>{where}</th><td><code>{name}</code></td>"
        f"<td>{_number(walk.shares[f'through_{way}'])}</td></tr>"
        for way, (where, name) in _WAYS.items()
    )
    return (
        '<section class="follows"><h2>What follows</h2>'
        f'<div class="checks">{"".join(map(_check, walk.checks))}</div>'
        f"<h3>Three ways lead from {_math('d(x_hat)')} to {_math('d(x)')}</h3>"
        "<p>Direct (<code>dxmu1</code>), through the mean and through the variance. Squared and "
        "summed, against the direct one:"
        f'</p><table class="shares">{shares}</table></section>'
    )


def _check(check: Identity) -> str:
    verdict = "holds" if check.holds else "fails"
    return (
        f'<div class="check {verdict}"><p>{escape(check.statement)}</p><p '
        f'class="formula">{_math(check.formula)}</p>'
        f'<p class="sides">left {_number(check.measured)}, right {_number(check.predicted)} '
        f'<span class="verdict">{verdict}</span></p></div>'
    )


def _math(formula: str) -> str:
    return written(draw_formula(formula), large=True)


def _dot(panel: int, walk: BatchnormWalk) -> str:
    if panel == 0:
        return "the forward pass"
    return f"step {len(walk.steps) + 1 - panel}"


def _number(value: float) -> str:
    return short(value).replace("-", "−")
