"""Views: the JSON objects of the commands, under fixed keys."""

import json
from dataclasses import asdict
from math import isfinite
from typing import Any

import numpy as np

from depthscale.measure import Analysis, Growth
from depthscale.run import Run
from depthscale.store.model_view import law_record, model_record
from depthscale.theory import Classical, Line, PhaseDiagram

SCHEMA = "depthscale/1"
_GROWTH_KEYS = ("rate", "stderr", "rms_rate", "depth_scale", "first_layer", "last_layer", "step")


def record(run: Run) -> dict[str, Any]:
    """The JSON object of `depthscale simulate`, `predict` or `probe`; numbers that float64 does not
    hold are null."""
    view = _layers_record(run) if run.graph.is_described else model_record(run)
    return {"schema": SCHEMA, **view}


def _layers_record(run: Run) -> dict[str, Any]:
    return {
        "command": "simulate" if run.networks else "predict",
        "spec": dict(run.spec),
        "loss": run.loss,
        "inputs": run.inputs,
        "seeds": run.networks,
        "seed": run.seed,
        "layers": [_layer(run, layer) for layer in range(run.depth + 1)],
        "growth": _growth(run),
        "log_variance": None if run.log_variance is None else run.log_variance.tolist(),
        "notes": list(run.notes),
        "without_rate": run.without_rate,
    }


def classical_record(found: Classical | None) -> dict[str, Any] | None:
    """Under "classical" in `depthscale predict`: each number as {value, error}, infinities spelled
    out; null with a norm."""
    if found is None:
        return None
    fields = {
        name: _estimate(value) if isinstance(value, dict) else value
        for name, value in asdict(found).items()
    }
    return fields | {"trainable_depth": number(found.trainable_depth)}


def phase_record(diagram: PhaseDiagram) -> dict[str, Any]:
    """The JSON object of `depthscale phase`: the critical line, the edge, and a line for each depth
    scale."""
    return {
        "schema": SCHEMA,
        "command": "phase",
        "activation": diagram.activation,
        "sigma_w2_max": diagram.sigma_w2_max,
        "sigma_b2_max": diagram.sigma_b2_max,
        "lines": [_phase_line(line) for line in (diagram.critical, diagram.edge, *diagram.levels)],
    }


def dumps(content: dict[str, Any]) -> str:
    """Strict JSON: what is not a finite number becomes null."""
    return json.dumps(_strict(content), indent=1, allow_nan=False) + "\n"


def _layer(run: Run, layer: int) -> dict[str, float]:
    gradient, activation, variance = (
        run.gradient,
        run.activation,
        run.batch_variance,
    )
    return {
        "layer": layer,
        "gradient_log2_ms": gradient.log2_mean_square[layer],
        "gradient_ms": gradient.mean_square[layer],
        "gradient_ms_stderr": gradient.stderr[layer],
        "activation_log2_ms": activation.log2_mean_square[layer],
        "activation_ms": activation.mean_square[layer],
        "activation_ms_stderr": activation.stderr[layer],
        "preactivation_batch_variance": variance.mean_square[layer],
        "preactivation_batch_variance_stderr": variance.stderr[layer],
    }


def _phase_line(line: Line) -> dict[str, Any]:
    columns = {
        name: getattr(line, name).tolist() for name in ("q_star", "sigma_w2", "sigma_b2", "part")
    }
    return {"phase": line.phase, "xi_c": number(line.xi_c)} | columns


def _estimate(estimate: dict[str, float]) -> dict[str, float | str]:
    return {name: number(value) for name, value in estimate.items()}


def number(value: float) -> float | str:
    """Infinity spelled out."""
    return str(value) if np.isinf(value) else value


def _growth(run: Run) -> dict[str, Any]:
    """The fitted growth; where it is refused, the reason, with the estimate marked as not
    reliable."""
    growth = Analysis.of(run).gradient
    if isinstance(growth, Growth):
        return _growth_fields(growth) | {"reliable": True}
    fields = (
        _growth_fields(growth.estimate)
        if growth.estimate
        else dict.fromkeys((*_GROWTH_KEYS, "law"))
    )
    return fields | {"reliable": False, "why": str(growth)}


def _growth_fields(found: Growth) -> dict[str, Any]:
    return {key: getattr(found, key) for key in _GROWTH_KEYS} | {"law": law_record(found.law)}


def _strict(content: Any) -> Any:
    match content:
        case dict():
            return {key: _strict(value) for key, value in content.items()}
        case list() | tuple():
            return [_strict(value) for value in content]
        case float() | np.floating():
            return float(content) if isfinite(content) else None
        case np.integer():
            return int(content)
    return content
