"""assert_propagation: for test suites."""

from typing import Any

from depthscale.diagnose.case import Case
from depthscale.diagnose.propagation import cause_of
from depthscale.diagnose.thresholds import Thresholds
from depthscale.diagnose.words import place
from depthscale.errors import InvalidProbe, PropagationFailed
from depthscale.measure.growth import Growth, growth
from depthscale.probe import probe
from depthscale.trace import Trace


def assert_propagation(
    model: Any, inputs: Any = None, max_rate: float | None = 1.05, min_rate: float | None = None, **probing: Any
) -> Trace:
    """Fail where the gradient's mean square grows by more than max_rate, or less than min_rate, per step of depth.

    model: a module, probed with these inputs and further arguments of `probe`; or a Trace. / max_rate, min_rate: None for no
    limit, so that by default a vanishing gradient passes: give min_rate, as 0.95, to catch it, too. It fails only where the
    measured rate lies beyond them by more than 3 standard errors (Student's t), or over one stretch of a depth that turns.
    returns: the Trace.
    raises: PropagationFailed (an AssertionError), which names the operation; UnreliableGrowth where there are too few steps;
    InvalidProbe where nothing along the depth repeats, so that there is no rate.
    """
    trace = model if isinstance(model, Trace) else probe(model, inputs, **probing)
    found = growth(trace)
    if found is None:
        raise InvalidProbe(
            "assert_propagation: nothing repeats three times along this model's depth, so there is no rate per step"
        )
    parts = found.stretches or (found,)
    low, high = max(each.interval[0] for each in parts), min(each.interval[1] for each in parts)
    if max_rate is not None and low > max_rate:
        raise PropagationFailed(_message(trace, f"more than 3 standard errors above max_rate={max_rate:g}", found))
    if min_rate is not None and high < min_rate:
        raise PropagationFailed(_message(trace, f"more than 3 standard errors below min_rate={min_rate:g}", found))
    return trace


def _message(trace: Trace, said: str, found: Growth) -> str:
    if found.turns:
        return f"the gradient {found.words}, {said} in one part"
    cause = cause_of(Case(trace, Thresholds()), found)
    return f"the gradient changes by {found}, {said}{cause.says and f'. At {place(cause.where)}: {cause.says}'}"
