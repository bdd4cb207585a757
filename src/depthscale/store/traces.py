"""Traces <-> records: fixed keys for readers, and the whole trace beside them for `load`."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from math import isinf, isnan
from typing import Any

from depthscale._diagnose import Diagnosis, diagnose
from depthscale.errors import UnreliableGrowth
from depthscale.measure import Analysis, Growth, Ledger
from depthscale.measure.paths import mean_over_repeats
from depthscale.run import (
    Coverage,
    Edge,
    Likeness,
    ModuleNote,
    NormSplit,
    NotSeen,
    Slopes,
    Terms,
    Trace,
    TracedOp,
    TracedParameter,
    with_meanings,
)
from depthscale.sketch import Sketch
from depthscale.store.sketches import decoded, encoded
from depthscale.theory import TracePrediction

_RESOLVED = ("meaning",)  # what follows from the other fields
_BARE = ("ops", "params", "coverage", "modules")


def trace_record(trace: Trace, schema: str) -> dict[str, Any]:
    """The JSON object of `depthscale probe`: operations with their edges, the ledger, the growth,
    the findings."""
    analysis = Analysis.of(trace)
    theory = analysis.theory
    return {
        "schema": schema,
        "command": "probe",
        "model": trace.model,
        "mode": trace.mode,
        "loss": trace.loss,
        "seed": trace.seed,
        "repeats": trace.repeats,
        "batch": trace.batch,
        "loss_scale": trace.loss_scale,
        "environment": dict(trace.environment),
        "coverage": asdict(trace.coverage) | {"share": trace.coverage.share},
        "ops": [_op(op, _predicted(theory, op)) for op in trace.ops],
        "theory": {"missing": list(theory.missing)},
        "params": [_parameter(p) for p in trace.params],
        "ledger": _ledger(analysis.ledger),
        "growth": _growth(analysis),
        "verdict": (found := diagnose(trace)).verdict,
        "findings": findings_record(found),
        "notes": list(trace.notes),
    }


def findings_record(found: Diagnosis) -> list[dict[str, Any]]:
    return [asdict(finding) for finding in found.findings]


def whole_trace(trace: Trace) -> dict[str, Any]:
    """What `load` needs beside the record: every field, sketches as text."""
    return {
        "fields": {
            f.name: _plain(getattr(trace, f.name)) for f in fields(trace) if f.name not in _BARE
        },
        "ops": [_whole(op) for op in trace.ops],
        "params": [_whole(p) for p in trace.params],
        "modules": [_whole(m) for m in trace.modules],
    }


def rebuilt_trace(loaded: dict[str, Any]) -> Trace:
    """raises: KeyError, TypeError, ValueError where parts are missing or wrong."""
    whole, seen = loaded["trace"], dict(loaded["coverage"])
    seen.pop("share")
    seen["not_seen"] = tuple(NotSeen(**each) for each in seen["not_seen"])
    bare = {key: _read(value) for key, value in whole["fields"].items()}
    ops = with_meanings([_read_op(each) for each in whole["ops"]])
    ends = [op for each in (bare["sinks"], bare["sources"]) for op, _ in each]
    if not (_in_order(ops) and all(end in range(len(ops)) for end in ends)):
        raise ValueError("operations that refer to none")
    return Trace(
        ops=ops,
        params=tuple(_read_parameter(each) for each in whole["params"]),
        modules=tuple(ModuleNote(**each) for each in whole["modules"]),
        coverage=Coverage(**seen),
        **bare,
    )


def _in_order(ops: tuple[TracedOp, ...]) -> bool:
    """Whether every operation stands at its own number and reads only what ran before it."""
    return all(
        op.id == i
        and all(source in range(i) for source in (*op.reads, *(edge.source for edge in op.edges)))
        for i, op in enumerate(ops)
    )


def _op(op: TracedOp, gains: dict[int, float]) -> dict[str, Any]:
    arrived = mean_over_repeats(op.log2_gradient_norm2)
    return {
        "id": op.id,
        "name": op.name,
        "op": op.op,
        "module": op.module,
        "module_class": op.module_class,
        "shape": list(op.shape),
        "dtype": op.dtype,
        "activation": _sketched(op.activation),
        "gradient": _sketched(op.gradient),
        "reads": list(op.reads),
        "edges": [_edge(op, edge, arrived, gains) for edge in op.edges],
        "nodes": op.nodes,
        "settings": dict(op.settings),
        "split": None if op.split is None else asdict(op.split),
        "likeness": None if op.likeness is None else asdict(op.likeness),
        "dead": op.dead,
        "terms": [asdict(each) for each in op.terms],
        "slopes": [asdict(each) for each in op.slopes],
    }


def _edge(op: TracedOp, edge: Edge, arrived: float, gains: dict[int, float]) -> dict[str, Any]:
    gain = 2.0 ** (mean_over_repeats(edge.log2_norm2) - arrived)
    resized = gain * op.size / edge.size if edge.size else None
    return {
        "from": edge.source,
        "gain_norm2": gain,
        "gain_ms": resized,
        "predicted_gain_ms": gains.get(edge.source),
    }


def _predicted(theory: TracePrediction, op: TracedOp) -> dict[int, float]:
    """Theory's mean-square gain towards each operation that is read; what it has no rule for is
    left out."""
    gains = theory.log2_gains(op.id)
    return {
        i: 2.0**gain
        for i, gain in zip(theory.reads(op.id), gains, strict=False)
        if not isnan(gain) and gain < 1000
    }


def _parameter(p: TracedParameter) -> dict[str, Any]:
    return {
        "name": p.name,
        "shape": list(p.shape),
        "value": _sketched(p.value),
        "gradient": _sketched(p.gradient),
    }


def _sketched(sketch: Sketch | None) -> dict[str, Any] | None:
    if sketch is None:
        return None
    return {
        "ms": sketch.mean_square(),
        "log2_ms": sketch.log2_mean_square(),
        "rms": sketch.rms(),
        "count": sketch.count,
        "zeros": sketch.zeros,
        "nonfinite": sketch.nans + sketch.infs,
        "smallest": sketch.min_magnitude(),
        "largest": sketch.max_magnitude(),
    }


def _ledger(account: Ledger | UnreliableGrowth) -> dict[str, Any] | None:
    if isinstance(account, UnreliableGrowth):
        return None
    return {
        "total_log2_norm2": account.total_log2_norm2,
        "closure_error": account.closure_error,
        "open": list(account.open),
        "by_kind": [{"kind": kind, "log2_norm2": value} for kind, value in account.by_kind],
        "by_class": [{"class": name, "log2_norm2": value} for name, value in account.by_class],
        "stages": [asdict(stage) for stage in account.stages],
    }


def _growth(analysis: Analysis) -> dict[str, Any] | None:
    """null where nothing repeats along the depth."""
    found = analysis.gradient
    if isinstance(found, Growth):
        return {"reliable": True} | _growth_fields(found)
    if analysis.depth is None:
        return None
    return {"reliable": False, "why": str(found)} | (
        _growth_fields(found.estimate) if found.estimate else {}
    )


def _growth_fields(found: Growth) -> dict[str, Any]:
    keys = (
        "rate",
        "stderr",
        "rms_rate",
        "depth_scale",
        "first_layer",
        "last_layer",
        "step",
        "steps",
        "deviates",
        "words",
    )
    return {key: getattr(found, key) for key in keys} | {
        "power_law": None if found.power is None else asdict(found.power),
        "plateau": None if found.plateau is None else asdict(found.plateau),
        "stretches": [asdict(each) for each in found.stretches],
    }


def _whole(record: Any) -> dict[str, Any]:
    return {
        f.name: _plain(getattr(record, f.name)) for f in fields(record) if f.name not in _RESOLVED
    }


def _plain(value: Any) -> Any:
    """JSON's types; sketches as text, numbers that JSON lacks spelled out."""
    if isinstance(value, Sketch):
        return encoded(value)
    if isinstance(value, float) and (isinf(value) or isnan(value)):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return _whole(value) if hasattr(value, "__dataclass_fields__") else value


def _read(value: Any) -> Any:
    """The other way: lists become tuples, spelled-out numbers numbers."""
    if isinstance(value, list):
        return tuple(_read(each) for each in value)
    if isinstance(value, dict):
        return {key: _read(each) for key, each in value.items()}
    return float(value) if value in ("inf", "-inf", "nan") else value


def _read_op(each: dict[str, Any]) -> TracedOp:
    read: dict[str, Any] = {key: _read(value) for key, value in each.items()}
    read |= {key: decoded(each[key]) for key in ("activation", "gradient")}
    read["edges"] = tuple(Edge(**edge) for edge in read["edges"])
    read["split"] = read["split"] and NormSplit(**read["split"])
    read["terms"] = tuple(Terms(**each) for each in read.get("terms", ()))
    read["slopes"] = tuple(Slopes(**each) for each in read.get("slopes", ()))
    read["likeness"] = read["likeness"] and Likeness(**read["likeness"])
    return TracedOp(**read)


def _read_parameter(each: dict[str, Any]) -> TracedParameter:
    value = decoded(each["value"])
    if value is None:
        raise ValueError("a parameter without values")
    return TracedParameter(each["name"], tuple(each["shape"]), value, decoded(each["gradient"]))
