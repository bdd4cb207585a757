"""The page of a study: accuracy over depth and learning rate with theory's lines, and every
network."""

from depthscale._report.chart.study_chart import LINES, accuracy_map, best_chart
from depthscale._report.page import (
    Part,
    figure,
    headline,
    joined,
    reproduced,
    section,
    sheet,
    table,
)
from depthscale._report.pages.sweep_page import cells_part
from depthscale._report.phrases import with_error
from depthscale.sweeps import Study


def study_page(found: Study) -> str:
    grid = found.sweep.grid
    parts = [_first_screen(found)]
    for network in map(str, grid["network"]):
        maps = [
            figure(
                f"{network}-{optimizer}".replace(" ", "-").replace(",", ""),
                accuracy_map(found, network, optimizer).properties(height=220),
                f"{network}, {optimizer}",
                "",
            )
            for optimizer in map(str, grid["optimizer"])
        ]
        parts.append(section(_id(network), network.capitalize(), _theory(found, network), *maps))
    t = found.training
    facts = f"width {t.width}, batch {t.batch}, {t.steps} steps, seeds {len(found.sweep.seeds)}"
    again = reproduced(_command(found), facts)
    page = joined(*parts, _table(found), cells_part(found.sweep), again)
    return sheet("Study", [page], last=max(0, len(found.sweep) - 1))


def _first_screen(found: Study) -> Part:
    told = (
        f"Held-out accuracy of {len(found.sweep):,} networks after {found.training.steps} steps, "
        f"over depth and learning rate. In every map: {LINES}."
    )
    head = headline("depthscale study", "Does the growth of gradients matter?", told)
    network = str(found.sweep.grid["network"][-1])
    says = "At the learning rate with the best training accuracy, ± 2 standard errors."
    best = figure("best", best_chart(found, network), f"{network}: accuracy by depth", says)
    return joined(head, best)


def _theory(found: Study, network: str) -> str:
    line = found.lines[network]
    if not line.turned:
        return f"Theory: gradients change by ×{line.rate:.4g} per layer in mean square."
    turned = ", ".join(f"{depth:.0f} at {rate:g}" for rate, depth in line.turned.items())
    return (
        f"Theory: gradients grow by ×{line.rate:.4g} per layer in mean square; 16 / ln rate = "
        f"{line.trainable_depth:.3g} layers. SGD's first step turns the first layer by more than "
        f"45° from this depth on, by learning rate: {turned}."
    )


def _table(found: Study) -> Part:
    grid = found.sweep.grid
    rows = [
        [
            f"{network}, {optimizer}, {tested.where[0]} layers",
            with_error(float(tested.mean or 0), tested.stderr),
            f"{trained.mean:.3f}",
            f"{tested.where[1]:g}",
            str(tested.failed or ""),
        ]
        for network in map(str, grid["network"])
        for optimizer in map(str, grid["optimizer"])
        for tested, trained in found.best(network, optimizer)
    ]
    headings = ["network", "accuracy", "in training", "learning rate", "failed"]
    return section("depths", "By depth, at the best learning rate", table(headings, rows))


def _id(network: str) -> str:
    return network.replace(" ", "-").replace(",", "")


def _command(found: Study) -> str:
    grid, t = found.sweep.grid, found.training
    words = [f"--{name} {value}" for name in ("depth", "rate") for value in grid[name]]
    names = [f"--{name} '{value}'" for name in ("network", "optimizer") for value in grid[name]]
    sizes = [f"--width {t.width}", f"--batch {t.batch}", f"--steps {t.steps}"]
    return " ".join(
        ["depthscale study", *names, *words, *sizes, f"--seeds {len(found.sweep.seeds)}"]
    )
