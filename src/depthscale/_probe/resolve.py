"""What the calls of a forward pass mean, resolved once it is over: which are operations, what they
read, which of autograd's nodes are their own."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from depthscale._probe.call_records import Call, Checkpoint, Role, Value
from depthscale._probe.nodes import NodeOwners


@dataclass
class Operations:
    """The calls that are operations, each at its number, and the owners of autograd's nodes."""

    calls: list[Call]
    owners: NodeOwners


def resolved(calls: Iterable[Call], checkpoints: Iterable[Checkpoint] = ()) -> Operations:
    """The operations among some calls, in the order of running.

    Args:
        calls: In the order of running.
        checkpoints: The reentrant ones that ran, told which operations they read and hold.
    """
    ops = Operations([], NodeOwners())
    for call in calls:
        _RESOLVE[call.role](ops, call)
    for each in checkpoints:
        each.reads = _numbers(each.read, counted=True)
        own = (call for call in each.calls if call.role in (Role.OPERATION, Role.UNANNOUNCED))
        each.inside = {call.number for call in own if call.number is not None}
    return ops


def _operation(ops: Operations, call: Call) -> None:
    call.number = len(ops.calls)
    ops.calls.append(call)
    call.reads = _numbers(call.read, counted=True)
    picked_by = _numbers(call.read, counted=False)
    if picked_by:
        call.settings["picked_by"] = tuple(picked_by)
    call.slots = [(value.node, value.output) for value in call.made if value.node is not None]
    call.exits = ops.owners.claim(call.number, call.slots)


def _reshape(ops: Operations, call: Call) -> None:
    call.number = None if call.read[0].call is None else call.read[0].call.number
    for value in call.made:
        if value.node is not None:
            ops.owners.pass_through(value.node)


def _index(ops: Operations, call: Call) -> None:
    """It was made from the first operation that it reads, or that what it reads was made from."""
    sources = [*_numbers(call.read, counted=True), *_numbers(call.read, counted=False)]
    call.number = sources[0] if sources else None


def _unannounced(ops: Operations, call: Call) -> None:
    """A node that nobody owns is an operation; another output of one that is belongs to it; one
    inside an operation is nobody's."""
    (value,) = call.made
    assert value.node is not None
    if not ops.owners.known(value.node):
        _operation(ops, call)
        sources = (ops.owners.producer(way.target) for way in call.exits)
        call.reads = [number for number in sources if number is not None]
        return
    number, slot = ops.owners.owner.get(value.node), (value.node, value.output)
    if number is None or slot in ops.owners.outputs:
        return
    first = ops.calls[number]
    if any(node is value.node for node, _ in first.slots):
        call.number = ops.owners.outputs[slot] = number
        first.slots.append(slot)
        first.size += call.size
        both = first.activation, call.activation
        first.activation = None if None in both else both[0] + both[1]  # type: ignore[operator]


def _numbers(read: Sequence[Value], counted: bool) -> list[int]:
    """The operations that values come from, of those with a gradient or of indices and masks."""
    return [
        value.call.number
        for value in read
        if value.counted is counted and value.call is not None and value.call.number is not None
    ]


_RESOLVE = {
    Role.OPERATION: _operation,
    Role.RESHAPE: _reshape,
    Role.INDEX: _index,
    Role.UNANNOUNCED: _unannounced,
}
