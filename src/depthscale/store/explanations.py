"""What `demo` and `explain` find as records. They need torch, which other records do not."""

from dataclasses import asdict
from typing import Any

from depthscale._explain import (
    Argument,
    BatchnormWalk,
    Explanation,
    Matter,
    Normalizers,
    Row,
    answers,
    read_explanation,
    read_matter,
)
from depthscale.experiments import NAMES, Founding
from depthscale.store.views import SCHEMA, number, record


def founding_record(found: Founding) -> dict[str, Any]:
    """The JSON object of `depthscale demo`: a row for each layer of each network, and each
    network's two records."""
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


def walk_record(walk: BatchnormWalk) -> dict[str, Any]:
    """The JSON object of `depthscale explain batchnorm`; formulas are Python expressions, d(x) for
    dE/dx, sum over the batch."""
    checks = [asdict(check) | {"holds": check.holds} for check in walk.checks]
    return {"schema": SCHEMA, "command": "explain batchnorm"} | asdict(walk) | {"checks": checks}


def argument_record(argument: Argument) -> dict[str, Any]:
    """The JSON object of `depthscale explain growth`: a row for each step at each layer; layer
    null: the layers in between."""
    return {
        "schema": SCHEMA,
        "command": "explain growth",
        "spec": argument.spec.record(),
        "loss": argument.loss,
        "seeds": argument.seeds,
        "rows": [_row(row) for row in argument.rows],
    }


def normalizers_record(found: Normalizers) -> dict[str, Any]:
    """The JSON object of `depthscale explain normalizers`: a row for each activation under each
    normalizer, and the answers."""
    settings = ("depth", "width", "batch", "seeds", "sigma_w2")
    return {
        "schema": SCHEMA,
        "command": "explain normalizers",
        **{name: getattr(found, name) for name in settings},
        "rows": [
            asdict(cell)
            | {
                "depth_scale": number(cell.depth_scale),
                "verdict": cell.verdict,
                "collapsed": cell.collapsed,
            }
            for cell in found.cells
        ],
        "answers": answers(found),
    }


def matter_record(found: Matter) -> dict[str, Any]:
    """The JSON object of `depthscale explain matter`: a row for each network at each depth, every
    run, and how to read them."""
    settings = ("data", "samples", "classes", "seeds", "rates", "growth_rate", "trainable_depth")
    return {
        "schema": SCHEMA,
        "command": "explain matter",
        **{name: getattr(found, name) for name in settings},
        **asdict(found.settings),
        "rows": [asdict(row) for row in found.rows],
        "runs": [asdict(run) for run in found.runs],
        "reading": read_matter(found),
    }


def explanation_record(found: Explanation) -> dict[str, Any]:
    """The JSON object of `depthscale explain model`: a row for each step at each norm, and what
    breaks where in sentences."""
    norms = [asdict(norm) | {"rows": [_row(row) for row in norm.rows]} for norm in found.norms]
    return (
        {"schema": SCHEMA, "command": "explain model"}
        | asdict(found)
        | {"norms": norms, "reading": read_explanation(found)}
    )


def _row(row: Row) -> dict[str, Any]:
    return asdict(row) | {"verdict": row.verdict}
