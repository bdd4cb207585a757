"""Sketches as text."""

import base64

from depthscale.sketch import Sketch


def encoded(sketch: Sketch | None) -> str | None:
    return None if sketch is None else base64.b64encode(sketch.to_bytes()).decode()


def decoded(text: str | None) -> Sketch | None:
    return None if text is None else Sketch.from_bytes(base64.b64decode(text))
