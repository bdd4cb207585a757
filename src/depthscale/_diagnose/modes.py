"""Rules on how the model stands: modes that do not fit each other or what was measured."""

from collections.abc import Iterator
from math import isclose

from depthscale._diagnose.finding import Finding
from depthscale._diagnose.rule import Check, Rule
from depthscale.measure import Analysis
from depthscale.run import Reading


def mode_findings(analysis: Analysis) -> Iterator[Finding]:
    """Batch Norm that runs on statistics it never took; modules in different modes."""
    fresh = [op for op in analysis.trace.ops if _is_running_batch_norm(op) and _untouched(op)]
    if fresh:
        yield Finding(
            "eval-mode-untrained",
            "info",
            fresh[0].name,
            f"{len(fresh)} Batch Norms run in eval mode on statistics that they never took (0 and "
            "1): they normalize nothing",
            {"operations": len(fresh)},
            "",
            'probe with mode="train" to see what training will see',
        )
    if analysis.trace.mode == "mixed":
        training = sum(note.training for note in analysis.trace.graph.modules)
        yield Finding(
            "mixed-modes",
            "info",
            "",
            f"{training} of {len(analysis.trace.graph.modules)} modules are in train mode, "
            "the others in eval mode",
            {"training": training, "modules": len(analysis.trace.graph.modules)},
            "",
            "call model.train() or model.eval(), unless this is on purpose",
        )


def _is_running_batch_norm(op: Reading) -> bool:
    norm = op.norm
    return norm is not None and norm.row.mixes_samples and norm.statistics == "running"


def _untouched(op) -> bool:
    """Whether the running mean is 0 and the running variance 1 throughout, as at the beginning."""
    statistics = [
        mean_square
        for name, _, mean_square in op.weights
        if name.endswith(("running_mean", "running_var"))
    ]
    return (
        len(statistics) == 2 and statistics[0] == 0 and isclose(statistics[1], 1, rel_tol=1e-5)
    )  # a rounded norm, squared


MODES = Check(
    mode_findings,
    (
        Rule(
            (
                "eval-mode-untrained",
                "mixed-modes",
            ),
            "Batch Norm that normalizes nothing; modules in different modes",
        ),
    ),
)
