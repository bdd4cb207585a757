"""A study on the terminal: accuracy by depth at the best learning rate, beside theory."""

from math import isfinite

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from depthscale._report.terminal.titled_table import titled_table
from depthscale.sweeps import Field, Study

_TITLE = "held-out accuracy at the best learning rate"


def study_table(found: Study) -> RenderableType:
    """A table for each network; theory's lines under its title."""
    t, sweep = found.training, found.sweep
    networks = map(str, sweep.grid["network"])
    said = (
        f"{len(sweep):,} networks of width {t.width}, batches of {t.batch}, {t.steps} steps, "
        f"{len(sweep.seeds)} seed{'s' * (len(sweep.seeds) > 1)}"
    )
    errors = [Text(f"{count:,} failed: {error}") for error, count in sweep.errors.items()]
    parts = [
        part
        for name in networks
        for part in (Text(f"\n{name}: {_TITLE}"), _table(found, name), _theory(found, name))
    ]
    return Group(Text(said), *parts, *errors)


def _table(found: Study, network: str) -> Table:
    optimizers = [str(each) for each in found.sweep.grid["optimizer"]]
    headings = (column for name in optimizers for column in (name, "lr"))
    table = titled_table("", ("depth", *headings), "", 2)
    best = {
        name: {tested.where[0]: tested for tested, _ in found.best(network, name)}
        for name in optimizers
    }
    for depth in found.sweep.grid["depth"]:
        cells = []
        for name in optimizers:
            field = best[name].get(depth)
            cells += ["-", ""] if field is None else [_accuracy(field), f"{field.where[1]:g}"]
        table.add_row(str(depth), *cells)
    return table


def _accuracy(field: Field) -> str:
    return f"{field.mean:.2f} ± {field.stderr:.2f}"


def _theory(found: Study, network: str) -> Text:
    line = found.lines[network]
    text = f"theory: x{line.rate:.4g} per layer in mean square"
    if isfinite(line.trainable_depth):
        text += f"; 16 / ln rate = {line.trainable_depth:.3g} layers"
    if line.turned:
        turned = ", ".join(f"{depth:.0f} (lr {rate:g})" for rate, depth in line.turned.items())
        text += f"; SGD's first step turns layer 1 by 45 degrees from depth {turned}"
    return Text(text)
