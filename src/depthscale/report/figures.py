"""Charts as files: PNG and SVG, drawn without a browser."""

from pathlib import Path

import vl_convert

from depthscale import files
from depthscale.report.theme import Chart

_PIXELS_PER_POINT = 2.0


def save_figure(chart: Chart, folder: Path, name: str) -> list[Path]:
    """Write name.png and name.svg. / returns: their paths. / raises: UnwritablePath."""
    specification = chart.to_json()
    drawn: dict[str, bytes | str] = {
        "png": vl_convert.vegalite_to_png(specification, scale=_PIXELS_PER_POINT),
        "svg": vl_convert.vegalite_to_svg(specification),
    }
    paths = []
    for suffix, content in drawn.items():
        path = folder / f"{name}.{suffix}"
        files.write(path, content)
        paths.append(path)
    return paths
