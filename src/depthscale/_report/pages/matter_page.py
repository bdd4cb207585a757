"""The page of whether the explosion matters: accuracy by depth, the first steps' gradients, and how
to read both."""

import shlex
from dataclasses import asdict

import numpy as np

from depthscale._explain import Matter, Variant, read_matter
from depthscale._report.chart.matter_charts import accuracies, first_steps
from depthscale._report.page import (
    Part,
    bullets,
    figure,
    flags,
    headline,
    joined,
    reproduced,
    section,
    sheet,
    table,
    table_of,
    tag,
)
from depthscale._report.phrases import with_error


def matter_page(found: Matter) -> str:
    parts = [_first_screen(found), _first(found), _reading(found), _accuracy(found), _runs(found)]
    facts = (
        f"{found.data}, {found.samples:,} samples; seeds {found.seed} to "
        f"{found.seed + found.seeds - 1}"
    )
    return sheet(
        "Does the explosion matter?",
        [*parts, reproduced(_command(found), facts)],
        last=len(found.runs) - 1,
    )


def _first_screen(found: Matter) -> Part:
    s = found.settings
    shallow, deep = found.of(Variant.BATCH_NORM)[0], found.of(Variant.BATCH_NORM)[-1]
    verdict = (
        f"Over {s.batch} samples Batch Norm makes the squared gradient grow by "
        f"×{found.growth_rate:.4g} per layer, so that "
        f"theory's scale of depth is {found.trainable_depth:.3g} layers. Trained, its accuracy "
        "goes from ",
        tag("strong", with_error(shallow.accuracy, shallow.stderr)),
        f" at depth {shallow.depth} to ",
        tag("strong", with_error(deep.accuracy, deep.stderr)),
        f" at depth {deep.depth}.",
    )
    head = headline(
        f"depthscale explain matter, {len(found.runs)} networks trained on {found.data}",
        "Does the explosion matter?",
        *verdict,
    )
    says = (
        f"Held-out accuracy after {s.steps} steps of plain SGD at the best learning rate, mean "
        f"over {found.seeds} seeds ± 2 "
        f"standard errors. Dashed: 16 / ln λ = {found.trainable_depth:.3g} layers; a guess has "
        f"{1 / found.classes:.2f}."
    )
    hero = figure("accuracy", accuracies(found), "Accuracy by depth", says)
    return joined(head, hero)


def _first(found: Matter) -> Part:
    says = (
        "Gradient at the first layer's y over that at the last one's, with Batch Norm and "
        f"learning rate {max(found.rates):g}: "
        "what theory says of initialization, and how long it lasts."
    )
    rows = [
        [
            f"{row.network}, {row.depth} layers",
            f"{row.predicted:.3g}",
            *(f"{ratio:.3g}" for ratio in row.ratios),
        ]
        for row in found.rows
    ]
    steps = [f"step {k}" for k in range(len(found.rows[0].ratios))]
    drawn = figure(
        "first-steps", first_steps(found), "First layer's gradient over the last one's", says
    )
    return section(
        "steps", "The first steps", drawn, table(["network", "theory, step 0", *steps], rows)
    )


def _reading(found: Matter) -> Part:
    return section(
        "reading",
        "What it says, and what it cannot",
        bullets(read_matter(found)),
    )


def _accuracy(found: Matter) -> Part:
    rows = [
        [
            f"{row.network}, {row.depth} layers",
            with_error(row.accuracy, row.stderr),
            f"{row.train_accuracy:.3f}",
            f"{row.rate:g}",
            f"{row.depth / found.trainable_depth:.2f}",
            str(row.diverged),
        ]
        for row in found.rows
    ]
    headings = [
        "network",
        "accuracy",
        "in training",
        "learning rate",
        "depth over 16 / ln λ",
        "diverged",
    ]
    return section("depths", "By depth", table(headings, rows))


def _runs(found: Matter) -> Part:
    columns = {
        "run": np.arange(float(len(found.runs))),
        "network": [run.network for run in found.runs],
        "depth": np.array([float(run.depth) for run in found.runs]),
        "learning rate": np.array([run.rate for run in found.runs]),
        "seed": np.array([float(run.seed) for run in found.runs]),
        "accuracy": np.array([run.accuracy for run in found.runs]),
        "in training": np.array([run.train_accuracy for run in found.runs]),
        "first / last gradient, step 0": np.array([run.ratios[0] for run in found.runs]),
    }
    return section("runs", "Every run", table_of(columns))


def _command(found: Matter) -> str:
    given = {
        "depth": [f"{depth:g}" for depth in dict.fromkeys(row.depth for row in found.rows)],
        "lr": [f"{rate:g}" for rate in found.rates],
        **asdict(found.settings),
        "seeds": found.seeds,
        "seed": found.seed,
    }
    given |= {} if found.data == "digits" else {"data": found.data}
    return shlex.join(["depthscale", "explain", "matter", *flags(given)])
