"""depthscale demo."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from depthscale import files
from depthscale.cli.frame import Html, Json, Loss, Seed
from depthscale.cli.network_option import Network
from depthscale.cli.output import check, console, progress, put
from depthscale.errors import InvalidSpec

if TYPE_CHECKING:
    from depthscale.experiments import Founding


def demo(
    spec: Network = None,
    *,
    out: Annotated[
        Path, Parameter(help="folder for the article (index.html), its figures and demo.json")
    ] = Path("demo"),
    seeds: Annotated[int | None, Parameter(help="how many random networks [default: 20]")] = None,
    quick: Annotated[bool, Parameter(help="3 seeds", negative="")] = False,
    seed: Seed = 0,
    loss: Loss = "shared",
    json: Json = None,
    html: Html = None,
) -> None:
    """The founding experiment: Batch Norm makes gradients explode. Three networks on the same
    weights, theory beside them.

    Vanilla, Batch Norm, and Batch Norm whose statistics take no gradient; norm and statistics are
    set by the experiment.
    """
    from depthscale._report import founding_figures, founding_table, to_html
    from depthscale.experiments import founding
    from depthscale.store import dumps

    if spec and (spec.norm, spec.statistics) != ("none", "batch"):
        raise InvalidSpec(
            "demo runs without norm, with Batch Norm and with frozen statistics; leave --norm and "
            "--statistics out"
        )
    if quick and seeds is not None:
        raise InvalidSpec("--quick means --seeds 3; give one of the two")
    files.check_folder(out)
    check(json, html)
    with progress("networks") as bar:
        count = 3 if quick else seeds if seeds is not None else 20
        found = founding(spec, seeds=count, seed=seed, loss=loss, progress=bar)
    record = dumps(_record(found))
    figures = founding_figures(found)
    article = to_html(found)
    contents = {**figures, "demo.json": record, "index.html": article}
    files.make_folder(out)
    files.write_all(
        {out / name: content for name, content in contents.items()}
        | ({html: article} if html else {})
    )
    put(record, json)
    if str(json) != "-":
        terminal = console()
        terminal.print(founding_table(found))
        for note in found.notes():
            terminal.print(f"note: {note}", soft_wrap=True)
        terminal.print(f"\nwritten to {out}/: {', '.join(contents)}", soft_wrap=True)
        terminal.print(f"the whole story: {out / 'index.html'}", soft_wrap=True)


def _record(found: "Founding") -> dict[str, Any]:
    """The JSON object of `depthscale demo`: a row for each layer of each network, and each
    network's two records."""
    from depthscale.experiments import NAMES
    from depthscale.store import SCHEMA, record

    return {
        "schema": SCHEMA,
        "command": "demo",
        "rows": [asdict(row) for row in found.rows()],
        "networks": [
            {
                "name": name,
                "measured": record(measured),
                "predicted": record(found.predicted[i]) if found.predicted else None,
            }
            for i, (name, measured) in enumerate(zip(NAMES, found.measured, strict=True))
        ],
        "without_theory": found.without_theory or None,
    }
