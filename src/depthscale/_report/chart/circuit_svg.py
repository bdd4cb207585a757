"""The circuit of Batch Norm as a picture: forward values above its wires, gradients below them."""

from html import escape

from depthscale._explain import BatchnormWalk
from depthscale._report.short_numbers import short

_TOP, _BOTTOM, _RADIUS = 76, 196, 22
_WIDTH, _HEIGHT = 1100, 258
# Where each stands, and what its circle says; leaves and the output have no circle.
_NODES = {
    "mean": (128, _BOTTOM, "mean"),
    "centre": (226, _TOP, "−"),
    "square": (360, _BOTTOM, "( )²"),
    "variance": (464, _BOTTOM, "mean"),
    "square root": (568, _BOTTOM, "√"),
    "inverse": (672, _BOTTOM, "1/·"),
    "normalize": (764, _TOP, "×"),
    "scale": (872, _TOP, "×"),
    "shift": (980, _TOP, "+"),
}
_ENDS = {"x": (28, _TOP), "gamma": (872, _BOTTOM), "beta": (980, _BOTTOM), "y": (1082, _TOP)}
_LETTERS = {"x": "x", "gamma": "γ", "beta": "β", "y": "y"}


def circuit_svg(walk: BatchnormWalk) -> str:
    """For the walk's first sample. / classes: each wire's gradient has data-step, the step that
    sends it; each node its own."""
    numbers = {step.node: step.step for step in walk.steps}
    wires = [
        _wire(start, end, value[0], gradient[0], numbers.get(end, len(numbers) + 1))
        for (start, end), (value, gradient) in walk.edges().items()
    ]
    nodes = [_node(name, numbers[name]) for name in _NODES]
    ends = [
        f'<text class="leaf" x="{x}" '
        f'y="{y + 6}"{_step(0 if name == "x" else None)}>{_LETTERS[name]}</text>'
        for name, (x, y) in _ENDS.items()
    ]
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="The circuit of Batch Norm '
        'with its values and gradients">'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="9" '
        'markerHeight="9" '
        'markerUnits="userSpaceOnUse" orient="auto">'
        '<path d="M0 0 8 4 0 8z"/></marker></defs>'
        f"{''.join(wires)}{''.join(nodes)}{''.join(ends)}</svg>"
    )


def _wire(start: str, end: str, value: float, gradient: float, step: int) -> str:
    """From the right of one to the left of the other, or round one corner. / step: that sends a
    gradient back along it."""
    (x0, y0), (x1, y1) = _place(start), _place(end)
    gap = 12 if start in _ENDS else _RADIUS
    stop = 14 if end in _ENDS else _RADIUS
    at_y, anchor, branch = y0, "middle", ""
    if y0 == y1:
        path, at_x = f"M{x0 + gap} {y0}H{x1 - stop}", (x0 + gap + x1 - stop) / 2
    elif x0 == x1:  # a leaf under its node
        path, at_x, at_y, anchor = f"M{x0} {y0 - 14}V{y1 + stop}", x0 + 9, (y0 + y1) / 2, "start"
    elif y0 > y1:  # along the bottom, then up into the node
        path, at_x = (
            f"M{x0 + gap} {y0}H{x1 - 8}Q{x1} {y0} {x1} {y0 - 8}V{y1 + stop}",
            (x0 + gap + x1) / 2,
        )
    else:  # down from a wire, then along the bottom
        turn = x0 + (_RADIUS + 18 if start == "centre" else 0)
        begin = y0 if start == "centre" else y0 + 14
        branch = (
            f'<circle class="branch" cx="{turn}" cy="{y0}" r="3"/>' if start == "centre" else ""
        )
        path = f"M{turn} {begin}V{y1 - 8}Q{turn} {y1} {turn + 8} {y1}H{x1 - stop}"
        at_x, at_y = (turn + x1 - stop) / 2, y1
    return (
        f'<g class="wire"{_step(step)}><path d="{path}" marker-end="url(#tip)"/>{branch}'
        f'<text class="value" x="{at_x:g}" y="{at_y - 7:g}" '
        f'text-anchor="{anchor}">{_number(value)}</text>'
        f'<text class="gradient" x="{at_x:g}" y="{at_y + 16:g}" '
        f'text-anchor="{anchor}">{_number(gradient)}</text></g>'
    )


def _node(name: str, step: int) -> str:
    x, y, sign = _NODES[name]
    named = y - _RADIUS - 9 if y == _TOP else y + _RADIUS + 19
    return (
        f'<g class="node"{_step(step)}><circle cx="{x}" cy="{y}" r="{_RADIUS}"/>'
        f'<text class="sign" x="{x}" y="{y + 5}">{escape(sign)}</text><text class="name" x="{x}" '
        f'y="{named}">{name}</text></g>'
    )


def _place(name: str) -> tuple[int, int]:
    x, y, *_ = _NODES.get(name) or _ENDS[name]
    return x, y


def _step(number: int | None) -> str:
    return "" if number is None else f' data-step="{number}"'


def _number(value: float) -> str:
    return short(value, 3).replace("-", "−")
