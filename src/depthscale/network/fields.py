"""Fields of a description: what each says, and the checks that name it."""

from dataclasses import dataclass, field
from math import inf, isfinite, nan
from numbers import Integral, Real
from typing import Annotated, Any

from depthscale.errors import InvalidSpec

LARGEST_WHOLE = 10**12  # depth, width or batch: beyond it every machine's memory ends


@dataclass(frozen=True)
class AtLeast:
    """Bound on a number, in an annotation; a record is held to it when it is read from a file."""

    value: int


Count = Annotated[int, AtLeast(0)]
Positive = Annotated[int, AtLeast(1)]
Amount = Annotated[float, AtLeast(0)]  # nan where it is not known


def described(text: str, default: Any) -> Any:
    return field(default=default, metadata={"help": text})


def one_of(spec: Any, name: str, choices: tuple[str, ...]) -> None:
    value = getattr(spec, name)
    if not isinstance(value, str) or value not in choices:
        raise InvalidSpec(f"unknown {name} {value!r}; choose one of {', '.join(choices)}")


def whole(spec: Any, name: str, *, at_least: int) -> None:
    """The field as a Python int. / raises: InvalidSpec."""
    value = getattr(spec, name)
    if (
        isinstance(value, bool)
        or not isinstance(value, Integral)
        or not at_least <= int(value) <= LARGEST_WHOLE
    ):
        raise InvalidSpec(
            f"{name} must be a whole number of at least {at_least}, got {shown(value)}"
        )
    object.__setattr__(spec, name, int(value))


def number(spec: Any, name: str, *, at_least: float = -inf, above: float = -inf) -> None:
    """The field as a Python float. / raises: InvalidSpec."""
    value = getattr(spec, name)
    number = _as_float(value)
    if not isfinite(number) or number < at_least or number <= above:
        bound = (
            f" of at least {at_least:g}"
            if at_least > -inf
            else f" above {above:g}"
            if above > -inf
            else ""
        )
        raise InvalidSpec(f"{name} must be a finite number{bound}, got {shown(value)}")
    object.__setattr__(spec, name, number)


def _as_float(value: object) -> float:
    """nan for what is no number that float64 holds."""
    try:
        return float(value) if isinstance(value, Real) and not isinstance(value, bool) else nan
    except OverflowError:
        return nan


def shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
