"""Charts as pictures: PNG and SVG, drawn without a browser."""

import vl_convert

from depthscale._report.chart.theme import Chart
from depthscale.controls import disarm

_PIXELS_PER_POINT = 2.0


def pictures(chart: Chart, name: str) -> dict[str, bytes | str]:
    """name.png and name.svg with their contents."""
    specification = disarm(chart.to_json())
    return {
        f"{name}.png": vl_convert.vegalite_to_png(specification, scale=_PIXELS_PER_POINT),
        f"{name}.svg": vl_convert.vegalite_to_svg(specification),
    }
