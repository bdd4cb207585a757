"""What a model writes out in elementary calls, known by its pattern: norms, activations, attention,
rotary positions.

A norm: y divided by the root of the mean of its squares, or of those of y - mean(y). Its output's
mean square must be what that norm gives: 1 less eps times the mean of 1 / sigma^2.
An activation: calls that compute an elementwise function of one input, put on a few points, where
it has the values of a row of the table.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthscale.network.activations import ACTIVATIONS
from depthscale.network.meaning import CASTS, Call, Meaning, WrittenOut, scale_of
from depthscale.network.operations import Elementwise, Norm, Operation
from depthscale.network.torch_calls import activation_of
from depthscale.network.written_attention import attention, rotation

_ROUNDING = 1e-2  # of a mean square of numbers of 8 bits, as bfloat16's
_POINTS = np.array([-3.1, -1.7, -0.6, 0.3, 0.9, 2.2, 4.0])
_SAME = 1e-6  # absolute, on the points: models write constants with 10 digits
_LONGEST = 12  # calls of an activation; GELU's approximation takes 8
_TABLE = {row.name: row.phi(_POINTS) for row in ACTIVATIONS.values() if row.name != "linear"}


def written_out(calls: Sequence[Call]) -> dict[int, WrittenOut]:
    """By the number of its last call. Takes time linear in the number of calls."""
    readers: dict[int, set[int]] = defaultdict(set)
    for number, call in enumerate(calls):
        for i in call.reads:
            readers[i].add(number)
    found = _activations(calls)
    for number, call in enumerate(calls):
        whole = attention(calls, number) or rotation(calls, number)
        if whole is not None:
            found[number] = whole
        if call.op in _DIVISIONS and len(call.reads) == 2:
            norm = _norm(_Reader(calls, readers), number)
            if norm is not None:
                found[norm[0]] = norm[1]
    return {
        last: whole
        for last, whole in found.items()
        if all(readers[i] <= whole.inside | {last} for i in whole.inside)
    }


# ---- norms


class _Reader:
    """Walks down from call to call, and remembers the way. / inside: calls passed."""

    def __init__(self, calls: Sequence[Call], readers: Mapping[int, set[int]]):
        self.calls, self.readers = calls, readers
        self.inside: set[int] = set()

    def value(self, number: int) -> int:
        """The call that made this value, in whatever type."""
        while self.calls[number].op in CASTS and len(self.calls[number].reads) == 1:
            self.inside.add(number)
            (number,) = self.calls[number].reads
        return number

    def below(self, number: int, *functions: tuple[str, Any]) -> int | None:
        """What a call reads that is one of these functions, at that exponent, and reads one
        thing."""
        call = self.calls[number]
        if (call.op, call.settings.get("exponent")) not in functions or len(set(call.reads)) != 1:
            return None
        self.inside.add(number)
        return self.value(call.reads[0])


_DIVISIONS = {
    "mul": (("rsqrt", None), ("pow", -0.5)),
    "div": (("sqrt", None), ("pow", 0.5)),
}  # y times this, or over that


def _norm(at: _Reader, number: int) -> tuple[int, WrittenOut] | None:
    """The norm that ends with that product or quotient, and its last call, a gain's, if there is
    one."""
    call = at.calls[number]
    ways = (call.reads, call.reads[::-1]) if call.op == "mul" else (call.reads,)
    for y, root in ways:
        at.inside = set()
        root = at.value(root)
        variance = at.below(root, *_DIVISIONS[call.op])
        if variance is None:
            continue
        eps = 0.0
        if (sum_ := at.calls[variance]).op == "add" and len(sum_.reads) == 1 and not sum_.weights:
            eps = float(sum_.settings.get("right", sum_.settings.get("left", 0.0)))
            at.inside.add(variance)
            variance = at.value(sum_.reads[0])
        made = _made_of(at, at.value(y), variance)
        if made is not None and _is_normalized(at.calls, number, root, eps):
            source, kind = made
            norm = Norm(kind, call.shape[-1], eps)
            return _with_gain(at, number, [norm], source)
    return None


def _made_of(at: _Reader, y: int, variance: int) -> tuple[int, Any] | None:
    """What is normalized, and by which kind of norm. / y: what is divided; variance: by the root of
    what."""
    spread = at.calls[variance]
    if spread.op == "var" and _is_unbiased(spread.settings):
        return None
    squares = at.below(variance, ("mean", None), ("var", None))
    if squares is None or (at.calls[squares].op == "mul" and len(at.calls[squares].reads) != 2):
        return None
    if not _is_over_entries(spread, at.calls[squares]):  # y may have been seen by heads since
        return None
    centred = _centred(at, y)
    if spread.op == "var":
        return (centred, "layer") if centred is not None and squares == centred else None
    if at.below(squares, ("pow", 2), ("square", None), ("mul", None)) != y:
        return None
    return (y, "rms") if centred is None else (centred, "layer")


def _is_unbiased(settings: Mapping[str, Any]) -> bool:
    """Torch's default."""
    return bool(settings.get("unbiased", settings.get("correction", True)))


def _centred(at: _Reader, number: int) -> int | None:
    """x, of x - mean(x) over its entries."""
    call = at.calls[number]
    if call.op != "sub" or len(call.reads) != 2:
        return None
    x, mean = (at.value(i) for i in call.reads)
    if not _is_over_entries(at.calls[mean], call) or at.below(mean, ("mean", None)) != x:
        return None
    at.inside.add(number)
    return x


def _is_over_entries(call: Call, values: Call) -> bool:
    """Whether a mean is one over the last axis."""
    dim = call.settings.get("dim")
    axes = dim if isinstance(dim, tuple) else (dim,)
    return axes in ((-1,), (len(values.shape) - 1,)) and call.size * values.shape[-1] == values.size


def _is_normalized(calls: Sequence[Call], number: int, root: int, eps: float) -> bool:
    """Whether the output's mean square is that of a norm: 1 less eps <1 / sigma^2>."""
    output, sigma = calls[number].activation, calls[root].activation
    if output is None or sigma is None or not output.count or not sigma.count:
        return False
    ends = (sigma.min_magnitude(), sigma.max_magnitude())
    if calls[number].op == "div":
        ends = tuple(1 / end if end else 0.0 for end in ends)
    low, high = sorted(1 - eps * end**2 for end in ends)
    return low - _ROUNDING <= output.mean_square() <= high + _ROUNDING


def _with_gain(
    at: _Reader, number: int, what: list[Operation], source: int
) -> tuple[int, WrittenOut]:
    """The norm with the gain that follows it, and a shift of 0."""
    last, path = number, [number]
    for function, is_part in (("mul", lambda ms: True), ("add", lambda ms: ms == 0)):
        reader = _only_reader(at, path)
        call = None if reader is None else at.calls[reader]
        if reader is None or call is None or call.op != function or len(call.weights) != 1:
            break
        ((_, shape, ms),) = call.weights
        if len(shape) != 1 or len(call.reads) != 1 or not is_part(ms):
            break
        if function == "mul":
            what = [*what, *scale_of(ms)]
        last, path = reader, [*path, reader]
    inside = (at.inside | set(path[: path.index(last)])) - {last, source}
    return last, WrittenOut(Meaning(tuple(what), (source,)), frozenset(inside))


def _only_reader(at: _Reader, path: list[int]) -> int | None:
    """The one call that reads the last one of a path, past changes of type, which join it."""
    while len(at.readers[path[-1]]) == 1:
        (reader,) = at.readers[path[-1]]
        if at.calls[reader].op not in CASTS:
            return reader
        path.append(reader)
    return None


# ---- activations

Points = NDArray[np.float64]
Formula = Callable[..., Points]
_BINARY: dict[str, Callable[[Points, Points], Points]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
}
_UNARY: dict[str, Callable[[Points], Points]] = {
    "exp": np.exp,
    "neg": np.negative,
    "square": np.square,
    "reciprocal": np.reciprocal,
    **dict.fromkeys(CASTS, lambda a: a),
}


def _activations(calls: Sequence[Call]) -> dict[int, WrittenOut]:
    found = {}
    for number, call in enumerate(calls):
        joins = call.op in _BINARY and any(
            len(each.reads) == 2 for each in (call, *(calls[i] for i in call.reads[:1]))
        )
        activation = _activation(calls, number) if joins else None
        if activation is not None:
            found[number] = activation
    return found


def _activation(calls: Sequence[Call], last: int) -> WrittenOut | None:
    """Walks down until one value is left that all of the calls passed are functions of, as far as
    it is elementwise."""
    formulas: dict[int, Formula] = {}
    frontier = {last}
    while len(formulas) <= _LONGEST:
        number = max(frontier)
        if len(frontier) == 1 and len(formulas) > 1:
            name = _name(calls, formulas, number)
            if name is not None:
                inside = frozenset(formulas) - {last}
                return WrittenOut(Meaning((Elementwise(name),), (number,)), inside)
        formula = _formula(calls[number])
        if formula is None or not calls[number].reads or calls[number].size != calls[last].size:
            return None
        formulas[number] = formula
        frontier = (frontier - {number}) | set(calls[number].reads)
    return None


def _name(calls: Sequence[Call], formulas: Mapping[int, Formula], root: int) -> str | None:
    """The activation that the last of some calls is, as a function of a root."""
    if calls[root].size != calls[max(formulas)].size:
        return None
    values = {root: _POINTS}
    with np.errstate(all="ignore"):
        for number in sorted(formulas):
            values[number] = formulas[number](*(values[i] for i in calls[number].reads))
    points = values[max(formulas)]
    return next((name for name, row in _TABLE.items() if abs(row - points).max() < _SAME), None)


def _formula(call: Call) -> Formula | None:
    """What a call computes of the values that it reads, elementwise and without parameters."""
    if call.weights or "rounding_mode" in call.settings:
        return None
    row = activation_of(call.op, call.settings)
    if row is not None or call.op in _UNARY:
        return row.phi if row is not None else _UNARY[call.op]
    power = call.settings.get("exponent")
    if isinstance(power, int | float):
        return lambda a: a**power
    operate, alpha = _BINARY.get(call.op), call.settings.get("alpha", 1)
    if operate is None:
        return None
    left, right = (call.settings.get(side) for side in ("left", "right"))
    if len(call.reads) == 2:
        return lambda a, b: operate(a, alpha * b)
    if right is not None:
        return lambda a: operate(a, np.asarray(alpha * right))
    return None if left is None else lambda a: operate(np.asarray(left), alpha * a)
