"""Records <-> JSON: the numbers of a Profile or a Trace under fixed keys, with what it takes to
have them back."""

import json
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from depthscale import files
from depthscale.errors import InvalidRecord, UnreliableGrowth
from depthscale.measure import Growth, growth
from depthscale.run import Profile, Quantity, Trace
from depthscale.sketch import Sketch
from depthscale.store.sketches import decoded, encoded
from depthscale.store.traces import law_record, rebuilt_trace, trace_record, whole_trace
from depthscale.theory.classical.critical import Line, PhaseDiagram
from depthscale.theory.classical.point import Classical

SCHEMA = "depthscale/1"
_SOURCES = {"simulate": "simulation", "predict": "theory"}
_QUANTITIES = ("gradient", "activation", "preactivation_batch_variance")


def record(found: Profile | Trace) -> dict[str, Any]:
    """The JSON object of `depthscale simulate`, `predict` or `probe`; numbers that float64 does not
    hold are null."""
    return trace_record(found, SCHEMA) if isinstance(found, Trace) else _profile_record(found)


def _profile_record(profile: Profile) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "command": {"simulation": "simulate", "theory": "predict"}[profile.source],
        "spec": dict(profile.spec),
        "loss": profile.loss,
        "inputs": profile.inputs,
        "seeds": profile.seeds,
        "seed": profile.seed,
        "layers": [_layer(profile, layer) for layer in range(profile.depth + 1)],
        "growth": _growth(profile),
        "log_variance": None if profile.log_variance is None else profile.log_variance.tolist(),
        "notes": list(profile.notes),
        "without_rate": profile.without_rate,
        "log2_rows": {name: _log2_rows(getattr(profile, name)) for name in _QUANTITIES},
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


def save(found: Profile | Trace, path: str | Path) -> None:
    """Write a profile or a trace with its sketches to a JSON file.

    raises: UnwritablePath; what stood at path is then as it was.
    """
    if isinstance(found, Trace):
        more = {"trace": whole_trace(found)}
    elif isinstance(found, Profile):
        sketches = found.gradient_sketches, found.preactivation_sketches
        names = "gradient", "preactivation"
        more = {
            "sketches": {
                name: [encoded(each) for each in some]
                for name, some in zip(names, sketches, strict=True)
            }
        }
    else:
        raise TypeError(f"save takes a Profile or a Trace, got {type(found).__name__}")
    files.write(Path(path), dumps(record(found) | more))


def load(path: str | Path) -> Profile | Trace:
    """The profile or trace in a JSON file that `save` wrote, or the profile in one of `simulate
    --json` or `predict --json` (without sketches).

    raises: InvalidRecord for a newer schema, by name, and for anything that is no such record.
    """
    try:
        loaded = json.loads(Path(path).read_text())
    except OSError as refused:
        raise InvalidRecord(f"cannot read {path}: {refused.strerror}") from None
    except (ValueError, RecursionError) as broken:
        raise InvalidRecord(f"{path} is not JSON: {broken}") from None
    return _read(loaded, str(path))


def dumps(content: dict[str, Any]) -> str:
    """Strict JSON: what is not a finite number becomes null."""
    return json.dumps(_strict(content), indent=1, allow_nan=False) + "\n"


def _layer(profile: Profile, layer: int) -> dict[str, float]:
    gradient, activation, variance = (
        profile.gradient,
        profile.activation,
        profile.preactivation_batch_variance,
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


def _growth(profile: Profile) -> dict[str, Any]:
    """The fitted growth; where it is refused, the reason, with the estimate marked as not
    reliable."""
    try:
        return _growth_fields(growth(profile)) | {"reliable": True}
    except UnreliableGrowth as refused:
        fields = (
            _growth_fields(refused.estimate)
            if refused.estimate
            else dict.fromkeys((*_GROWTH_KEYS, "law"))
        )
        return fields | {"reliable": False, "why": str(refused)}


_GROWTH_KEYS = ("rate", "stderr", "rms_rate", "depth_scale", "first_layer", "last_layer", "step")


def _growth_fields(found: Growth) -> dict[str, Any]:
    return {key: getattr(found, key) for key in _GROWTH_KEYS} | {"law": law_record(found.law)}


def _log2_rows(quantity: Quantity) -> list[list[float | str]]:
    """Each seed's logarithms (theory: one row), from which the quantity is made again; exact 0 and
    infinity are spelled out."""
    rows = (
        quantity.log2_mean_square[None] if quantity.log2_samples is None else quantity.log2_samples
    )
    return [[str(value) if np.isinf(value) else value for value in row] for row in rows.tolist()]


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


def _read(loaded: Any, path: str) -> Profile | Trace:
    schema = loaded.get("schema") if isinstance(loaded, dict) else None
    if not isinstance(schema, str) or not schema.startswith("depthscale/"):
        raise InvalidRecord(f"{path} is not a depthscale record: it has no schema")
    if schema != SCHEMA:
        raise InvalidRecord(
            f"{path} has schema {schema}, this version reads {SCHEMA}; read it with the "
            "depthscale that wrote it"
        )
    command = loaded.get("command")
    if command == "probe" and "trace" not in loaded:
        raise InvalidRecord(
            f"{path} is a record of probe without its sketches; write a whole one with save, or "
            "probe --save"
        )
    if command not in (*_SOURCES, "probe"):
        known = f"{', '.join(_SOURCES)} and probe"
        raise InvalidRecord(f"{path} is a record of {command!r}; those of {known} can be loaded")
    try:
        return rebuilt_trace(loaded) if command == "probe" else _checked(_rebuilt(loaded))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError):
        raise InvalidRecord(
            f"{path} is not a whole record of {loaded['command']}: a part is missing or wrong"
        ) from None


def _rebuilt(loaded: dict[str, Any]) -> Profile:
    sketches = loaded.get("sketches", {"gradient": [], "preactivation": []})
    theory = loaded["command"] == "predict"
    gradient, activation, variance = (
        _quantity(loaded["log2_rows"][name], theory) for name in _QUANTITIES
    )
    return Profile(
        gradient=gradient,
        activation=activation,
        preactivation_batch_variance=variance,
        source="theory" if theory else "simulation",
        spec=loaded["spec"],
        loss=loaded["loss"],
        seeds=loaded["seeds"],
        seed=loaded["seed"],
        gradient_sketches=tuple(
            sketch for each in sketches["gradient"] if (sketch := decoded(each))
        ),
        preactivation_sketches=tuple(decoded(each) for each in sketches["preactivation"]),
        log_variance=None
        if loaded["log_variance"] is None
        else np.array(loaded["log_variance"], float),
        notes=tuple(loaded["notes"]),
        without_rate=loaded["without_rate"],
        inputs=loaded.get("inputs", "white noise"),
    )


def _checked(profile: Profile) -> Profile:
    """raises: ValueError where the parts do not fit each other."""
    layers = profile.depth + 1
    sizes = {
        len(q) for q in (profile.gradient, profile.activation, profile.preactivation_batch_variance)
    }
    samples = profile.gradient.log2_samples
    fits = (
        sizes == {layers}
        and layers > 1
        and profile.seeds == (0 if samples is None else len(samples))
    )
    sketches = profile.gradient_sketches, profile.preactivation_sketches
    whole = all(len(each) in (0, layers) for each in sketches) and all(
        isinstance(s, Sketch) for s in sketches[0]
    )
    if not (fits and whole and isinstance(profile.spec, dict) and isinstance(profile.loss, str)):
        raise ValueError
    return profile


def _quantity(rows: list[list[float | str | None]], theory: bool) -> Quantity:
    log2_rows = np.array(
        [[np.nan if value is None else float(value) for value in row] for row in rows]
    )
    return Quantity.exact(log2_rows[0]) if theory else Quantity.over_seeds(log2_rows)
