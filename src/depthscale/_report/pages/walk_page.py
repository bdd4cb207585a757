"""Batch Norm's backward pass as a page: the circuit, and under it one panel for each node, stepped
through by button and key."""

from collections.abc import Sequence
from html import escape

from depthscale._explain.batchnorm import BatchnormWalk, Check, Flow, Numbers, Passed
from depthscale._explain.formula import drawn
from depthscale._explain.words import SYMBOLS
from depthscale._report.chart.circuit_svg import circuit_svg
from depthscale._report.page.document import document
from depthscale._report.page.mathml import formula as written
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
    return document("Batch Norm's backward pass, node by node", body, style=_STYLE, script=_SCRIPT)


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


def _flow(step: Passed, flow: Flow) -> Sequence[str]:
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


def _row(kind: str, what: str, formula: str, numbers: Numbers, group: str = "") -> str:
    cells = "".join(f"<td>{_number(number)}</td>" for number in numbers[:_SHOWN])
    if len(numbers) > _SHOWN:
        cells += "<td>…</td>"
    headed = f'<tr class="group"><th colspan="99">{escape(group)}</th></tr>' if group else ""
    return (
        f'{headed}<tr class="{kind}"><th>{what}</th><td class="formula">{formula}</td>{cells}</tr>'
    )


def _follows(walk: BatchnormWalk) -> str:
    shares = "".join(
        f"<tr><th>{where}</th><td><code>{name}</code></td><td>{_number(walk.shares[f'through_{way}'])}</td></tr>"
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


def _check(check: Check) -> str:
    verdict = "holds" if check.holds else "fails"
    return (
        f'<div class="check {verdict}"><p>{escape(check.statement)}</p><p '
        f'class="formula">{_math(check.formula)}</p>'
        f'<p class="sides">left {_number(check.measured)}, right {_number(check.predicted)} '
        f'<span class="verdict">{verdict}</span></p></div>'
    )


def _math(formula: str) -> str:
    return written(drawn(formula), large=True)


def _dot(panel: int, walk: BatchnormWalk) -> str:
    if panel == 0:
        return "the forward pass"
    return f"step {len(walk.steps) + 1 - panel}"


def _number(value: float) -> str:
    return short(value).replace("-", "−")


_STYLE = """
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .4rem; }
h2 { font-size: 1.15rem; margin: 0 0 .3rem; }
h3 { font-size: 1rem; margin: 1.6rem 0 .3rem; }
p { margin: 0 0 .6rem; }
code { font: .88em ui-monospace, Menlo, Consolas, monospace; color: var(--faint); }
math { font-size: 1.12em; font-family: "Latin Modern Math", "STIX Two Math", "Cambria Math", math, serif; }
.lead, .key { color: var(--faint); }
.key { font-size: .9rem; }
.value { color: var(--measured); } .gradient { color: var(--theory); }
.circuit { overflow-x: auto; background: var(--panel); border: 1px solid var(--line); border-radius: .6rem; margin: 1rem 0 .5rem; }
.circuit svg { display: block; width: 100%; min-width: 60rem; height: auto; }
svg text { font: 12px ui-monospace, Menlo, Consolas, monospace; fill: var(--ink); }
svg .value { fill: var(--measured); } svg .gradient { fill: var(--theory); transition: opacity .2s; }
svg .wire path { fill: none; stroke: var(--faint); stroke-width: 1.3; }
svg marker path { fill: var(--faint); fill: context-stroke; }
svg .wire .branch { fill: var(--faint); stroke: none; }
svg circle { fill: var(--paper); stroke: var(--faint); stroke-width: 1.3; transition: fill .2s; }
svg .sign { text-anchor: middle; font-size: 14px; } svg .leaf { text-anchor: middle; font: italic 19px Georgia, serif; }
svg .name { text-anchor: middle; font: 12px system-ui, sans-serif; fill: var(--faint); }
.js svg .gradient { opacity: 0; } .js svg .seen .gradient { opacity: 1; }
.js svg .node { cursor: pointer; }
svg .on circle { fill: var(--theory); stroke: var(--theory); } svg .on .sign { fill: var(--paper); }
svg .on .name, svg .wire.on .gradient { font-weight: 700; fill: var(--ink); } svg .wire.on .gradient { fill: var(--theory); }
svg .wire.on path { stroke: var(--theory); stroke-width: 2.2; } svg .leaf.on { fill: var(--theory); font-weight: 700; }
.steps { display: none; align-items: center; justify-content: space-between; gap: .6rem; margin: .8rem 0; }
.js .steps { display: flex; }
button { font: inherit; color: inherit; cursor: pointer; }
#back, #next { padding: .45rem .9rem; border: 1px solid var(--line); border-radius: .5rem; background: var(--panel);
  white-space: nowrap; }
button:disabled { opacity: .4; cursor: default; }
button:focus-visible, .circuit:focus-visible { outline: 2px solid var(--measured); outline-offset: 2px; }
.dots { display: flex; flex: 1; min-width: 0; justify-content: center; }
.dot { flex: 0 1 1.5rem; min-width: 0; height: 1.5rem; padding: 0; border: 0; background: none; }
.dot::before { content: ""; display: block; width: .6rem; height: .6rem; margin: auto; border-radius: 50%;
  background: var(--line); }
.dot.on::before { background: var(--theory); transform: scale(1.4); }
.panel { border: 1px solid var(--line); border-radius: .6rem; padding: 1rem 1.2rem; margin: 0 0 1rem; }
.js .panel { display: none; } .js .panel.on { display: block; }
.panel > .formula { font-size: 1.25rem; margin: .3rem 0 .5rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { padding: .22rem .7rem .22rem 0; text-align: right; font-weight: normal; white-space: nowrap; }
th, td.formula, .shares td { text-align: left; } td.formula { padding-right: 1.4rem; color: var(--faint); }
td.formula math { color: var(--ink); }
tr.value td:not(.formula), tr.leaf td:not(.formula) { color: var(--measured); }
tr.arriving td:not(.formula), tr.flow td:not(.formula) { color: var(--theory); }
tr.result td:not(.formula) { color: var(--theory); font-weight: 700; } 
tr.flow + tr.result > * { border-top: 1px solid var(--line); }
tr.local th { color: var(--faint); }
tr.group th { padding-top: .7rem; color: var(--faint); font-size: .9rem; border-bottom: 1px solid var(--line); }
.follows { margin-top: 2rem; }
.checks { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: .8rem; }
.check { border: 1px solid var(--line); border-radius: .6rem; padding: .8rem 1rem; overflow-x: auto; }
.check math { font-size: 1.02em; } .check p { margin: 0 0 .4rem; } .sides { color: var(--faint); font-size: .92rem; }
.verdict { margin-left: .5rem; padding: .05rem .5rem; border-radius: 1rem; border: 1px solid currentColor; }
.holds .verdict { color: var(--measured); } .fails .verdict { color: var(--theory); font-weight: 700; }
@media (max-width: 40rem) { h1 { font-size: 1.35rem; } .panel { padding: .8rem; } .steps { gap: .3rem; }
  .dot::before { width: .45rem; height: .45rem; } #back, #next { padding: .45rem .6rem; } }
@media print { .js .panel { display: block; } .steps { display: none !important; } .js svg .gradient { opacity: 1; } }
"""

_SCRIPT = """
const panels = [...document.querySelectorAll(".panel")], dots = [...document.querySelectorAll(".dot")];
const drawn = [...document.querySelectorAll("svg [data-step]")], last = panels.length - 1;
const circuit = document.querySelector(".circuit"), back = document.getElementById("back"), next = document.getElementById("next");
let at = 0;
function show(panel) {
  at = Math.max(0, Math.min(last, panel));
  const step = last - at;
  [panels, dots].forEach(all => all.forEach(each => each.classList.toggle("on", Number(each.dataset.panel) === at)));
  drawn.forEach(each => {
    const own = Number(each.dataset.step);
    each.classList.toggle("on", at > 0 && own === step);
    each.classList.toggle("seen", at > 0 && own >= step);
  });
  back.disabled = at === 0;
  next.disabled = at === last;
  const current = document.querySelector("svg .node.on, svg .leaf.on"), frame = circuit.getBoundingClientRect();
  const middle = current ? current.getBoundingClientRect().left - frame.left + circuit.scrollLeft : 0;
  circuit.scrollTo({ left: middle - frame.width / 2, behavior: "smooth" });
}
document.documentElement.classList.add("js");
back.onclick = () => show(at - 1);
next.onclick = () => show(at + 1);
dots.forEach(dot => dot.onclick = () => show(Number(dot.dataset.panel)));
drawn.filter(each => each.matches(".node, .leaf")).forEach(each => each.onclick = () => show(last - Number(each.dataset.step)));
document.addEventListener("keydown", event => {
  if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: last }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  show(to);
});
show(0);
"""
