"""What a sweep measures by default: growth, ledger and verdict of a probe, or of a simulation where
a description was made."""

from typing import Any

from depthscale.errors import InvalidProbe, UnreliableGrowth
from depthscale.network import NetSpec
from depthscale.sweeps.grid import GridValue


def propagation(made: Any, inputs: Any = None, seed: int = 0) -> dict[str, GridValue]:
    """Columns of what a factory made.

    Args:
        made: A module, a pair of one and its inputs, or a `NetSpec`.
        inputs: Of a module that comes without.
        seed: Of the cotangent, or of the simulated network.

    Returns:
        rate, stderr: growth of the gradient's mean square per step of depth, towards the input;
        activation_rate, activation_stderr: of the activation's, towards the output; null where
        refused. step, steps: what a step is, and how many entered. total_log2_norm2,
        closure_error: of the ledger. severity, rules, verdict: of the diagnosis.
    """
    from depthscale._diagnose import diagnose
    from depthscale.measure import SEVERITIES, Analysis

    analysis = Analysis.of(_run(made, inputs, seed))
    found, account = diagnose(analysis.trace), analysis.ledger
    columns: dict[str, GridValue] = {}
    for prefix, growth in (("", analysis.gradient), ("activation_", analysis.activation)):
        known = None if isinstance(growth, UnreliableGrowth) else growth
        columns[f"{prefix}rate"] = known and known.rate
        columns[f"{prefix}stderr"] = known and known.stderr
    gradient = analysis.gradient
    columns["step"] = None if isinstance(gradient, UnreliableGrowth) else gradient.step
    columns["steps"] = None if isinstance(gradient, UnreliableGrowth) else gradient.steps
    closed = None if isinstance(account, UnreliableGrowth) else account
    columns["total_log2_norm2"] = closed and closed.total_log2_norm2
    columns["closure_error"] = closed and closed.closure_error
    worst = max((SEVERITIES.index(each.severity) for each in found), default=-1)
    columns["severity"] = SEVERITIES[worst] if worst >= 0 else "none"
    columns["rules"] = ", ".join(dict.fromkeys(each.rule for each in found))
    columns["verdict"] = found.verdict
    return columns


def _run(made: Any, inputs: Any, seed: int) -> Any:
    from depthscale._probe import probe
    from depthscale.nets import simulate

    if isinstance(made, NetSpec):
        return simulate(made, seeds=1, seed=seed)
    model: Any
    model, own = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    given = inputs if own is None else own
    if given is None:
        raise InvalidProbe(
            "the factory makes a model without inputs: let it return (model, inputs), or give "
            "inputs="
        )
    return probe(model, given, seed=seed)
