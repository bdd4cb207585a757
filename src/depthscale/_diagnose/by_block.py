"""blocks_of: the table of blocks with theory and findings beside what was measured."""

from collections import defaultdict
from math import nan
from typing import Any

from depthscale._diagnose.diagnose import diagnose
from depthscale.errors import DepthscaleError
from depthscale.measure import Analysis, Ledger
from depthscale.run import Blocks, Run, kept, measured_blocks


def blocks_of(run: Run) -> Blocks:
    """Of one run each computed once."""
    return kept(run, "_blocks", lambda: measured_blocks(run, _theory(run), _rules(run)))


def columns_beside(run: Run) -> dict[str, list[Any]]:
    """Of each operation its block, its part of the ledger, and theory's levels; None and nan where
    there is none."""
    account, theory = Analysis.of(run).ledger, _theory(run)
    entries = {e.id: e for e in account.entries} if isinstance(account, Ledger) else {}
    columns = {
        f"ledger_{name}": [getattr(entries.get(op.id), name, nan) for op in run]
        for name in ("log2_gain_norm2", "share", "contribution")
    }
    for name in ("log2_activation_ms", "log2_gradient_ms"):
        columns[f"theory_{name}"] = (
            [getattr(op, name) for op in theory] if theory else [nan] * len(run)
        )
    names = [row.name for row in blocks_of(run) for _ in range(row.first, row.last + 1)]
    return {"block": names, **columns}


def _theory(run: Run) -> Run | None:
    if run.graph.is_described:
        return None
    try:
        return Analysis.of(run).theory
    except DepthscaleError:
        return None


def _rules(run: Run) -> dict[int, list[str]]:
    """By the operation that a finding names, the worst first."""
    found, ids = defaultdict(list), {op.name: op.id for op in run.ops}
    for finding in () if run.graph.is_described else diagnose(run):
        if finding.severity != "info" and finding.where in ids:
            found[ids[finding.where]].append(finding.rule)
    return found
