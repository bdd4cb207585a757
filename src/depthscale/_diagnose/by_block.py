"""blocks_of: the table of blocks with theory and findings beside what was measured."""

from collections import defaultdict

from depthscale._diagnose.diagnose import diagnose
from depthscale.errors import DepthscaleError
from depthscale.measure import Analysis
from depthscale.run import Blocks, Run, kept, measured_blocks


def blocks_of(run: Run) -> Blocks:
    """Of one run each computed once."""
    return kept(run, "_blocks", lambda: measured_blocks(run, _theory(run), _rules(run)))


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
