"""The phase diagram of an activation as an altair chart, and its summary in words."""

from math import isfinite

import altair as alt

from depthscale._report.chart.theme import INK, NETWORK_COLOURS, Chart, chart_of, themed
from depthscale.theory import Line, PhaseDiagram

_COLOURS = {
    "ordered": NETWORK_COLOURS[0],
    "chaotic": NETWORK_COLOURS[1],
    "critical": INK,
    "edge": "#999999",
}
_WIDTHS = {"critical": 3.0, "edge": 2.0}
_DASHES = {"edge": [6, 4]}
_WIDTH, _HEIGHT = 560, 360


def phase_chart(diagram: PhaseDiagram) -> Chart:
    """The critical line in the plane of the variances, and lines of equal xi_c with their numbers,
    a colour to a phase."""
    x = alt.X(
        "sigma_w2:Q",
        title="σ² of the weights, times fan-in",
        scale=alt.Scale(domain=[0, diagram.sigma_w2_max], nice=False),
        axis=alt.Axis(grid=False),
    )
    y = alt.Y(
        "sigma_b2:Q",
        title="σ² of the biases",
        scale=alt.Scale(domain=[0, diagram.sigma_b2_max], nice=False),
        axis=alt.Axis(grid=False),
    )
    edge = [diagram.edge] if _has_edge(diagram) else []
    lines = [line for line in (*diagram.levels, *edge, diagram.critical) if len(line.q_star)]
    layers: list[alt.Chart] = []
    for line in lines:
        layers += [_curve(line, x, y), *_label(line, x, y)]
    caption = (
        "ξc in layers: blue in the ordered phase, orange in the chaotic one; black: "
        "critical, ξc infinite"
    )
    if _has_edge(diagram):
        caption += "; dashed: q* ends"
    chart = alt.layer(*layers).properties(width=_WIDTH, height=_HEIGHT)
    return themed(chart, f"Phase diagram of {diagram.activation}", caption)


def phase_summary(diagram: PhaseDiagram) -> list[str]:
    """A line for the critical line, for the edge, and for the levels."""
    said = [
        f"critical line of {diagram.activation}: {_ends(diagram.critical) or 'none in this range'}"
    ]
    if _has_edge(diagram):
        said.append(f"a stable q_star ceases to exist at: {_ends(diagram.edge)}")
    for phase in ("ordered", "chaotic"):
        scales = [f"{line.xi_c:g}" for line in diagram.levels if line.phase == phase]
        if scales:
            said.append(
                f"{phase}: xi_c = {', '.join(scales)} layers drawn; networks are trainable up to "
                "about 6 xi_c deep"
            )
    return said


def _curve(line: Line, x: alt.X, y: alt.Y) -> alt.Chart:
    rows = [
        {"order": i, "sigma_w2": float(w), "sigma_b2": float(b), "part": int(part)}
        for i, (w, b, part) in enumerate(zip(line.sigma_w2, line.sigma_b2, line.part, strict=True))
    ]
    chart = chart_of(rows)
    if (
        line.phase == "critical"
        and line.sigma_w2.max() == line.sigma_w2.min()
        and not line.sigma_b2.any()
    ):
        return chart.mark_point(filled=True, size=120, opacity=1, color=INK).encode(x=x, y=y)
    marked = chart.mark_line(
        color=_COLOURS[line.phase],
        strokeWidth=_WIDTHS.get(line.phase, 1.4),
        strokeDash=_DASHES.get(line.phase, []),
        clip=True,
        interpolate="monotone",
    )
    return marked.encode(x=x, y=y, order="order:Q", detail="part:N")


def _label(line: Line, x: alt.X, y: alt.Y) -> list[alt.Chart]:
    """The number of layers, at the upper end of the line."""
    if not isfinite(line.xi_c):
        return []
    at = int(line.sigma_b2.argmax())
    place = {
        "sigma_w2": float(line.sigma_w2[at]),
        "sigma_b2": float(line.sigma_b2[at]),
        "text": f"{line.xi_c:g}",
    }
    text = chart_of([place]).mark_text(dy=-7, fontSize=11, color=_COLOURS[line.phase])
    return [text.encode(x=x, y=y, text="text:N")]


def _has_edge(diagram: PhaseDiagram) -> bool:
    """Whether the edge is more than a point on the axis."""
    return bool((diagram.edge.sigma_b2 > 0).any())


def _ends(line: Line) -> str:
    """The first and the last point."""
    points = (
        [f"(sigma_w2 {line.sigma_w2[i]:.4f}, sigma_b2 {line.sigma_b2[i]:.4f})" for i in (0, -1)]
        if len(line.q_star)
        else []
    )
    return points[0] if len(set(points)) == 1 else " to ".join(points)
