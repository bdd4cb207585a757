"""The JSON object of `depthscale probe`: operations with their edges, the ledger, the growth, the
findings."""

from dataclasses import asdict
from typing import Any

from depthscale._diagnose import Diagnosis, diagnose
from depthscale.errors import UnreliableGrowth
from depthscale.measure import Analysis, Growth, Law, Ledger, growth_in_words
from depthscale.numerics import two_to
from depthscale.run import Array, Details, Edge, Predicted, Probed, Reading, Run, TracedParameter
from depthscale.sketch import Sketch


def model_record(run: Run) -> dict[str, Any]:
    """Of a model that ran, or of theory on its operations."""
    analysis = Analysis.of(run)
    theory = analysis.theory
    assert isinstance(theory.origin, Predicted)
    gains = theory.origin.log2_gains
    firsts, found = run.graph.first_edges, diagnose(run)
    probed = run.origin if isinstance(run.origin, Probed) else None
    return {
        "command": "probe",
        "model": run.model,
        "mode": run.mode,
        "loss": run.loss,
        "seed": run.seed,
        "repeats": run.passes,
        "batch": run.batch,
        "loss_scale": probed.loss_scale if probed else 1.0,
        "environment": dict(probed.environment) if probed else {},
        "coverage": asdict(run.coverage) | {"share": run.coverage.share},
        "ops": [_op(op, gains[firsts[op.id] : firsts[op.id + 1]]) for op in run.ops],
        "theory": {"missing": [why for _, why in theory.stops]},
        "params": [_parameter(p) for p in run.params],
        "ledger": _ledger(analysis.ledger),
        "growth": _growth(analysis),
        "verdict": found.verdict,
        "findings": findings_record(found),
        "notes": list(run.notes),
    }


def findings_record(found: Diagnosis) -> list[dict[str, Any]]:
    return [asdict(finding) for finding in found.findings]


def _op(op: Reading, log2_gains: Array) -> dict[str, Any]:
    arrived = op.log2_arrived
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
        "edges": [
            _edge(op, edge, arrived, float(log2_gain))
            for edge, log2_gain in zip(op.edges, log2_gains, strict=True)
        ],
        "nodes": op.nodes,
        "settings": dict(op.settings),
        "split": None if op.split is None else asdict(op.split),
        "likeness": None if op.likeness is None else asdict(op.likeness),
        **{name: getattr(op.details, name) for name in Details.headings()},
        "terms": [asdict(each) for each in op.terms],
        "slopes": [asdict(each) for each in op.slopes],
    }


def _edge(op: Reading, edge: Edge, arrived: float, log2_predicted: float) -> dict[str, Any]:
    """log2_predicted: theory's gain of the mean square along it; nan where it has no rule."""
    gain = two_to(edge.log2_left - arrived)
    resized = gain * op.size / edge.size if edge.size else None
    return {
        "from": edge.source,
        "gain_norm2": gain,
        "gain_ms": resized,
        "predicted_gain_ms": two_to(log2_predicted),
    }


def _parameter(p: TracedParameter) -> dict[str, Any]:
    return {
        "name": p.name,
        "shape": list(p.shape),
        "value": _sketched(p.value),
        "gradient": _sketched(p.gradient),
        "fate": asdict(p.fate),
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
        "z_score",
    )
    return {key: getattr(found, key) for key in keys} | {
        "words": growth_in_words(found),
        "law": law_record(found.law),
    }


def law_record(law: Law) -> dict[str, Any]:
    return {"kind": law.kind} | asdict(law)
