"""First steps in words and numbers."""

from collections.abc import Iterator, Sequence
from math import isfinite, isnan, log2

from depthscale.measure.steps_taken import SCRAMBLED, BlockStep, StepsTaken
from depthscale.measure.thresholds import Thresholds

_MOST_RANGES = 3
_MUCH = 1.1  # of a norm, from which on its growth is worth a word
_MUCH_SUSTAINED = 1.5


def verdict_of(steps: StepsTaken) -> str:
    """What the step does, by how much, and what keeps it small."""
    return "; ".join(_parts(steps))


def _parts(steps: StepsTaken) -> Iterator[str]:
    if steps.growth is not None and not steps.growth.steady:
        batch = f" (batch {steps.batch:g})" if isfinite(steps.batch) else ""
        verb = "grows" if steps.growth.rate > 1 else "shrinks"
        yield f"the gradient {verb} x{steps.growth.rms_rate:.3g} per {steps.word}{batch}"
    yield _turn(steps)
    if steps.scrambled:
        yield from (text for text in (_keep(steps), _frozen(steps)) if text)
    if steps.step.sustained > _MUCH_SUSTAINED:
        yield (
            "a gradient that stays makes later steps up to "
            f"{steps.step.sustained:.3g} times as large"
        )


def _turn(steps: StepsTaken) -> str:
    """What the step does to the layers."""
    optimizer, layers = at_rate(steps), steps.layers
    if not layers:
        return f"with {optimizer} the first step turns no weight matrix"
    turns = [each.degrees for each in layers]
    if steps.scrambled:
        most = max(layers, key=lambda each: each.degrees)
        return (
            f"with {optimizer} the first step turns {of_layers(steps.scrambled, steps)} by more "
            f"than {SCRAMBLED:.0f} degrees (most: {most.name}, {most.degrees:.3g})"
        )
    if steps.is_equal:
        least, most = f"{min(turns):.2g}", f"{max(turns):.2g}"
        by = most if least == most else f"{least} to {most}"
        deep = ", and equal steps do not restore depth" if explodes(steps) else ""
        return f"{optimizer} turns every {steps.word} by {by} degrees{deep}"
    most = max(layers, key=lambda each: each.degrees)
    least = min(layers, key=lambda each: each.degrees)
    return (
        f"with {optimizer} the first step turns no {steps.word} by more than "
        f"{most.degrees:.2g} degrees ({most.name}; least: {least.name}, {least.degrees:.2g})"
    )


def explodes(steps: StepsTaken) -> bool:
    """Whether the gradient surely grows, and by much."""
    growth = steps.growth
    much = growth is not None and growth.change >= log2(Thresholds().warn_change)
    return growth is not None and much and not growth.steady


def _keep(steps: StepsTaken) -> str:
    """What keeps every layer below 45 degrees."""
    rate = f"the rate below {short_rate(steps.lr_limit)}" if isfinite(steps.lr_limit) else ""
    depth = f"the depth below {steps.depth_limit:.0f}" if isfinite(steps.depth_limit) else ""
    both = " or ".join(part for part in (rate, depth) if part)
    return f"keep {both}" if both else ""


def _frozen(steps: StepsTaken) -> str:
    """What the norm's growth does to the layer that turns most."""
    hidden = [each for each in steps.scrambled if each.most.scale_invariant]
    turns = [each.most.turn for each in hidden]
    if not turns:
        return ""
    turn = max(turns, key=lambda each: each.norm_growth)
    if turn.norm_growth < _MUCH or isnan(turn.degrees_after):
        return ""
    grown = f"{turn.norm_growth:.3g} times its norm"
    return (
        f"the loss does not see how large these weights are: one that turns by {turn.degrees:.3g} "
        f"degrees then has {grown}, from where the same step turns it by "
        f"{turn.degrees_after:.2g}"
    )


def at_rate(steps: StepsTaken) -> str:
    """The optimizer at its rate, or its rates."""
    rates = sorted({rate for rate in steps.step.rates if not isnan(rate)})
    if not rates:
        return steps.step.optimizer
    ends = " to ".join(short_rate(rate) for rate in dict.fromkeys((rates[0], rates[-1])))
    return f"{steps.step.optimizer} at {ends}"


def short_rate(rate: float) -> str:
    """A learning rate as people write it: 0.1, 1.2e-3."""
    if 0.01 <= rate < 1e4 or not rate:
        return f"{rate:.3g}"
    mantissa, exponent = f"{rate:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"


def of_layers(some: Sequence[BlockStep], steps: StepsTaken) -> str:
    """Layers by their numbers: layers 1-22 of 50."""
    many = len(steps.layers)
    numbers = [each.number for each in some]
    if not all(numbers):
        names = ", ".join(each.name for each in some[:_MOST_RANGES])
        more = ", ..." if len(some) > _MOST_RANGES else ""
        return f"{len(some)} of {many} weight matrices ({names}{more})"
    ranges = list(_ranges(numbers))
    word = steps.word if len(numbers) == 1 else f"{steps.word}s"
    if len(ranges) == 1:
        return f"{word} {ranges[0]} of {many}"
    more = ", ..." if len(ranges) > _MOST_RANGES else ""
    return f"{len(numbers)} of {many} {word} ({', '.join(ranges[:_MOST_RANGES])}{more})"


def _ranges(numbers: Sequence[int]) -> Iterator[str]:
    start = before = numbers[0]
    for number in (*numbers[1:], None):
        if number != before + 1:
            yield f"{start}" if start == before else f"{start}-{before}"
            start = number if number is not None else 0
        before = number if number is not None else 0
