"""The three modules of a layer, forward and backward, as a drawing."""

from depthscale._report.page import Html, join, tag

_WIDTH, _BOX, _GAP, _LEFT, _RIGHT = 420, 84, 26, 92, 328  # user units; centres of the two columns
_HALF = 88


def modules(factors: tuple[str, str, str]) -> Html:
    """Matrix, Batch Norm and ReLU below one another: left what goes forward, right what comes back.

    factors: by what each multiplies the squared gradient, in that order.
    """
    rows = [
        ("matrix", "y = W x", "dE/dx = Wᵀ dE/dy", ""),
        ("Batch Norm", "z = (y − μ) / σ", "dE/dy = (1/σ) [dE/dz", "− ⟨dE/dz⟩ − z ⟨z dE/dz⟩]"),
        ("ReLU", "x = max(0, z)", "dE/dz = dE/dx where z > 0,", "0 elsewhere"),
    ]
    parts = [_text(_LEFT, 14, "forward", "d-head"), _text(_RIGHT, 14, "backward", "d-head")]
    for i, ((name, forward, backward, more), factor) in enumerate(zip(rows, factors, strict=True)):
        top = 48 + i * (_BOX + _GAP)
        parts += [
            _module(_LEFT, top, name, [forward], ""),
            _module(_RIGHT, top, name, [backward, more], f"squared gradient {factor}"),
        ]
    bottom = 48 + 3 * (_BOX + _GAP)
    for y, layer in ((36, "the layer below"), (bottom + 4, "this layer")):
        parts += [
            _text(_LEFT, y, f"x of {layer}", "d-faint"),
            _text(_RIGHT, y, f"dE/dx of {layer}", "d-faint"),
        ]
    for i in range(1, 4):
        y = 48 + i * (_BOX + _GAP) - _GAP
        start, end = y + 3, y + _GAP - 12 * (i == 3) - 3
        parts += [_arrow(_LEFT, start, end), _arrow(_RIGHT, end, start)]
    says = (
        "One layer as three modules: y = W x, Batch Norm z = (y - mean) / sigma over the batch, x "
        "= max(0, z); and how each "
        f"carries the gradient back, multiplying its square by {', '.join(factors)} in turn"
    )
    drawing = tag(
        "svg",
        tag("title", says),
        *parts,
        viewBox=f"0 0 {_WIDTH} {bottom + 12}",
        role="img",
        aria_label=says,
    )
    return tag(
        "figure",
        drawing,
        tag("figcaption", "⟨ ⟩ is the mean over the batch; the factors are those of this run."),
        class_="diagram",
    )


def _module(x: int, top: int, name: str, lines: list[str], factor: str) -> Html:
    box = tag("rect", x=x - _HALF, y=top, width=2 * _HALF, height=_BOX, rx=5, class_="d-box")
    said = [_text(x, top + 40 + 15 * i, line, "d-formula") for i, line in enumerate(lines) if line]
    return join(
        box,
        _text(x, top + 18, name, "d-name"),
        *said,
        _text(x, top + _BOX - 9, factor, "d-factor") if factor else "",
    )


def _text(x: int, y: int, content: str, kind: str) -> Html:
    return tag("text", content, x=x, y=y, text_anchor="middle", class_=kind)


def _arrow(x: int, start: int, end: int) -> Html:
    head = -5 if end > start else 5
    return tag("path", d=f"M{x},{start} V{end} m-4,{head} l4,{-head} l4,{head}", class_="d-arrow")
