"""depthscale phase."""

import re
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from depthscale import files
from depthscale.cli.frame import Json
from depthscale.cli.output import check, console, put


def phase(
    *,
    activation: Annotated[
        str, Parameter(help="phi, by name: tanh, relu, gelu, leaky_relu(0.2), ...")
    ] = "tanh",
    out: Annotated[Path, Parameter(help="folder for phase_<activation>.png and .svg")] = Path(
        "phase"
    ),
    sigma_w2_max: Annotated[
        float, Parameter(help="the largest fan_in times variance of a weight")
    ] = 4.0,
    sigma_b2_max: Annotated[float, Parameter(help="the largest variance of a bias")] = 0.5,
    json: Json = None,
) -> None:
    """The phase diagram of an activation without norm: its critical line, and how deep correlations
    reach beside it."""
    from depthscale._report import phase_chart, phase_summary, pictures
    from depthscale.store import dumps, phase_record
    from depthscale.theory import phase_diagram

    files.check_folder(out)
    check(json)
    diagram = phase_diagram(activation, sigma_w2_max, sigma_b2_max)
    figures = pictures(
        phase_chart(diagram), f"phase_{re.sub(r'[^0-9A-Za-z.-]+', '_', activation).strip('_')}"
    )
    files.make_folder(out)
    files.write_all({out / name: content for name, content in figures.items()})
    put(dumps(phase_record(diagram)), json)
    if str(json) != "-":
        terminal = console()
        for line in phase_summary(diagram):
            terminal.print(line, soft_wrap=True)
        terminal.print(f"\nwritten to {out}/: {', '.join(figures)}", soft_wrap=True)
