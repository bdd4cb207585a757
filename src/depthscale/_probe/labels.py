"""Names of operations, as a person would point at them."""

from collections import Counter
from collections.abc import Sequence

from depthscale._probe.call_records import Call


def labels(calls: Sequence[Call]) -> list[str]:
    """A name for every operation: its module's path where the module runs it alone, else with the
    function's; "#k" from the second use on."""
    together = Counter((call.place, call.module.number) for call in calls)
    uses: Counter[str] = Counter()
    names = []
    for call in calls:
        path = call.place
        alone = call.in_leaf and path and together[path, call.module.number] == 1
        by_itself = alone or call.path is not None
        plain = path if by_itself else ".".join(part for part in (path, call.name) if part)
        uses[plain] += 1
        names.append(plain if uses[plain] == 1 else f"{plain}#{uses[plain]}")
    return names


def overwriting(calls: Sequence[Call], needs: int) -> str:
    """Which operation wrote to what another's gradient needs. / needs: the one whose backward pass
    found it changed."""
    names = labels(calls)
    needed = {needs, *calls[needs].reads}
    written = (
        op
        for op, call in enumerate(calls)
        if op > needs and call.wrote is not None and call.wrote.call is not None
        if call.wrote.call.number in needed
    )
    writer = next(written, None)
    who = "a later operation" if writer is None else f"{names[writer]} ({calls[writer].name})"
    return (
        f"while probing, {who} overwrote in place what {names[needs]} ({calls[needs].name}) needs "
        "for its gradient; write to a new tensor there, or give it a clone()"
    )
