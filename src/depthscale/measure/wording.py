"""Growth in words."""

from math import log, sqrt

from depthscale.measure.growth import Growth
from depthscale.measure.laws import Power, Segments, SuperExponential, Transient
from depthscale.measure.segments import Segment


def growth_in_words(growth: Growth, up: str = "explodes", down: str = "vanishes") -> str:
    """What a growth does. / up, down: the verbs of a rate above and below 1."""
    if growth.steady:
        return "steady"
    match growth.law:
        case Segments(parts):
            each = ", then ".join(_segment(part, up, down) for part in parts)
            return f"turns: {each}, from the input on"
        case Transient() as law:
            end = "input" if law.from_input else "output"
            return (
                f"{_grows(law.first)} over the {min(law.reach, growth.steps)} steps next to the "
                f"{end} and is steady beyond"
            )
        case Power() as law:
            return f"{_grows(law.exponent)} as depth^{abs(law.exponent):.2g} (mean square)"
        case SuperExponential() as law:
            verb = up if law.last > 0 else down
            return (
                f"{verb} faster than exponentially: the logarithm of the factor grows "
                f"x{law.ratio:.3g} per {growth.step}"
            )
        case _:
            return _by_a_factor(growth, up, down)


def _by_a_factor(growth: "Growth", up: str, down: str) -> str:
    every = abs(log(2) / log(growth.rms_rate))
    verb, twice = (up, "doubles") if growth.rate > 1 else (down, "halves")
    return f"{verb} x{growth.rms_rate:.3g} per {growth.step}, {twice} in RMS every {every:.2g}"


def _segment(segment: Segment, up: str, down: str) -> str:
    verb = ("steady", up, down)[segment.direction]
    return f"{verb} x{sqrt(segment.rate):.3g} in RMS over {segment.steps} steps"


def _grows(size: float) -> str:
    return "grows" if size > 0 else "shrinks"
