"""What the next step of an optimizer does to each parameter, taken on copies by its own code."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import atan2, degrees, inf, isfinite, nan, sqrt

import torch
from torch import Tensor

from depthscale._probe.optimizer_copy import Moved, NotStepped, OptimizerCopy
from depthscale._probe.randomness import seeded
from depthscale._probe.sketching import dense
from depthscale.run import Invariance, OptimizerStep, Turn

SCRAMBLED = 45.0  # degrees, from which on as much of a weight is new as is left
_LOUD = 1024.0  # factor of a gradient, which any clipping or normalizing over tensors notices
_MOST_WITNESSES = 12
_LONGEST, _OFTEN = 1000, 50  # steps of one gradient, and how often they are looked at
_SETTLED = 1e-4
_TINY = 1e-300
_PROPORTIONAL = 0.5  # degrees, by which the step that is to turn by 45 may miss
# <w, dE/dw> over its size by chance, 1 / sqrt(entries), below which it is 0 but for rounding and
# eps: of many rows together, of one tensor as a whole
_OF_ROWS, _OF_ALL = 0.05, 1e-3
_FEWEST_ROWS = 4

Gradients = Sequence[tuple[str, Tensor, Tensor]]  # a parameter's name, itself, its gradient


def turned(
    optimizer: torch.optim.Optimizer, gradients: Gradients
) -> tuple[OptimizerStep, dict[str, Turn]]:
    """The step of an optimizer, and what it does to each parameter that it holds, by name.

    Tensors are stepped one at a time, so that no more than one is there twice; where what a step
    does to one depends on others, all are stepped together. Random numbers are drawn as after
    seed 0.
    """
    groups = optimizer.param_groups
    places = {id(p): k for k, group in enumerate(groups) for p in group["params"]}
    held = [each for each in gradients if id(each[1]) in places]
    names, moved = [name for name, *_ in held], [Moved(p, g) for _, p, g in held]
    step = OptimizerStep(
        type(optimizer).__name__,
        tuple(float(group["lr"]) if "lr" in group else nan for group in groups),
        hooks=sum(len(vars(optimizer).get(name, ())) for name in OptimizerCopy.HOOKS),
    )
    if why := _why_none(step, moved):
        return replace(step, refused=why), {}
    try:
        with torch.no_grad():
            witnesses = _witnesses(moved, [places[id(each.tensor)] for each in moved])
            stepper = Stepper(optimizer, _is_coupled(optimizer, witnesses))
            found = [
                replace(turn, group=places[id(each.tensor)])
                for turn, each in zip(stepper.turns(moved), moved, strict=True)
            ]
            step = replace(
                step,
                is_coupled=stepper.is_coupled,
                is_proportional=stepper.is_proportional(moved, found),
                sustained=_sustained(optimizer, witnesses),
            )
    except NotStepped as wrong:
        why = (
            f"the step of {step.optimizer} did not run on copies of the parameters ({wrong}); one "
            "that takes a closure computes the loss again inside: give an optimizer that does not, "
            "as the one that it wraps"
        )
        return replace(step, refused=why), {}
    return step, dict(zip(names, found, strict=True))


def _why_none(step: OptimizerStep, moved: Sequence[Moved]) -> str:
    if not moved:
        return f"{step.optimizer} holds no parameter that gets a gradient"
    if not any(step.rates):
        return (
            f"the learning rate of {step.optimizer} is 0, so that it makes no step; a schedule may "
            "begin there: give the rate that the first step will have"
        )
    return ""


@dataclass(frozen=True, eq=False)
class Stepper:
    """Steps copies. / is_coupled: all together."""

    optimizer: torch.optim.Optimizer
    is_coupled: bool

    def after(self, moved: Sequence[Moved], rate: float = 1.0) -> Iterable[Tensor]:
        """Every tensor after one step; those that are stepped apart one by one, when asked for."""
        if self.is_coupled:
            return _step(self.optimizer, moved, rate)
        return (_step(self.optimizer, [each], rate)[0] for each in moved)

    def turns(self, moved: Sequence[Moved]) -> list[Turn]:
        pairs = zip(moved, self.after(moved), strict=True)
        first = [turn_of(each.tensor, after, each.gradient) for each, after in pairs]
        grown = [
            replace(each, size=turn.norm_growth) if turn.is_scale_invariant else each
            for each, turn in zip(moved, first, strict=True)
        ]
        apart = [k for k, turn in enumerate(first) if turn.is_scale_invariant or self.is_coupled]
        later = dict(zip(apart, self.after([grown[k] for k in apart]), strict=True))
        return [
            replace(turn, degrees_after=_degrees(grown[k].tensor * grown[k].size, later[k]))
            if turn.is_scale_invariant
            else turn
            for k, turn in enumerate(first)
        ]

    def is_proportional(self, moved: Sequence[Moved], turns: Sequence[Turn]) -> bool:
        """Whether the optimizer's own code, at the rate at which the first tensor should turn by 45
        degrees, turns it by that."""
        known = [k for k, turn in enumerate(turns) if isfinite(turn.limit)]
        k = min(known, key=lambda k: turns[k].limit, default=None)
        if k is None:
            return False
        together, at = (moved, k) if self.is_coupled else ([moved[k]], 0)
        after = list(self.after(together, turns[k].limit))[at]
        return abs(_degrees(moved[k].tensor, after) - SCRAMBLED) < _PROPORTIONAL


def turn_of(before: Tensor, after: Tensor, gradient: Tensor) -> Turn:
    """What a step from one tensor to another is. / `degrees_after` and `group` are not known
    here."""
    w, v, g = (_numbers(each) for each in (before, after, gradient))
    size = float(w.norm())
    update, across, ahead = _parts(w, v)
    along, invariance = _invariance(w, g)
    grows = across - ahead  # of the tangent's numerator over its denominator, at a factor
    return Turn(
        relative=update / size if size else inf if update else 0.0,
        degrees=_angle(size, across, ahead),
        norm_growth=float(v.norm()) / size if size else inf if update else 1.0,
        limit=size / grows if grows > 0 and size else inf,
        along=along,
        invariance=invariance,
        degrees_after=nan,
        group=0,
    )


def _parts(w: Tensor, v: Tensor) -> tuple[float, float, float]:
    """Norm of an update, of its part across the weight, and its part along it."""
    update, size = v - w, w.norm()
    ahead = (update * w).sum() / size if size else update.sum() * 0
    across = (update - ahead / size * w).norm() if size else update.norm()
    return float(update.norm()), float(across), float(ahead)


def _degrees(before: Tensor, after: Tensor) -> float:
    w, v = _numbers(before), _numbers(after)
    return _angle(float(w.norm()), *_parts(w, v)[1:])


def _angle(size: float, across: float, ahead: float) -> float:
    return degrees(atan2(across, size + ahead)) if size and isfinite(across) else nan


def _invariance(w: Tensor, g: Tensor) -> tuple[float, Invariance]:
    """Of what in a weight the loss does not see the size, by <w, dE/dw> = 0, and how near to 0 it
    is: of rows, or of what is found."""
    rows = _along(w, g, 0)
    if w.dim() > 1 and _is_nothing(rows, w.numel() // w.shape[0], w.shape[0]):
        return rows, Invariance.ROWS
    if w.dim() > 1:
        columns = _along(w, g, 1)
        if _is_nothing(columns, w.numel() // w.shape[1], w.shape[1]):
            return columns, Invariance.COLUMNS
    whole = _along(w[None], g[None], 0)
    if w.numel() > 1 and 0 <= whole * sqrt(w.numel()) < _OF_ALL:
        return whole, Invariance.WHOLE
    return rows, Invariance.NONE


def _is_nothing(along: float, entries: int, parts: int) -> bool:
    return parts >= _FEWEST_ROWS and entries > 1 and along * sqrt(entries) < _OF_ROWS


def _along(w: Tensor, g: Tensor, axis: int) -> float:
    """Root mean square over an axis of <w, dE/dw> / (|w| |dE/dw|), of those that have both; nan
    where none has."""
    a, b = (
        each.movedim(axis, 0).flatten(1) if each.dim() > 1 else each[:, None] for each in (w, g)
    )
    sizes = a.norm(dim=1) * b.norm(dim=1)
    cosines = ((a * b).sum(1) / sizes)[sizes > 0]
    return float(cosines.square().mean().sqrt()) if len(cosines) else nan


def _numbers(tensor: Tensor) -> Tensor:
    """In float64, a complex number as two; a scalar as a vector of one."""
    plain = dense(tensor.detach()).resolve_conj().resolve_neg()
    plain = torch.view_as_real(plain) if plain.is_complex() else plain
    return torch.atleast_1d(plain.double())


def _step(optimizer: torch.optim.Optimizer, moved: Sequence[Moved], rate: float) -> list[Tensor]:
    with seeded(0):
        return OptimizerCopy(optimizer, moved, rate).step()


def _witnesses(moved: Sequence[Moved], groups: Sequence[int]) -> list[Moved]:
    """The smallest tensors of each rank, and of each group, by which a step shows how it goes."""
    small = sorted(range(len(moved)), key=lambda k: moved[k].tensor.numel())
    first: dict[tuple[str, int], int] = {}
    for k in small:
        for key in (("rank", moved[k].tensor.dim()), ("group", groups[k])):
            first.setdefault(key, k)
    picked = list(dict.fromkeys([*small[:2], *first.values()]))[:_MOST_WITNESSES]
    return [moved[k] for k in sorted(picked)]


def _is_coupled(optimizer: torch.optim.Optimizer, witnesses: Sequence[Moved]) -> bool:
    """Whether a tensor moves otherwise in the company of others whose gradients are large."""
    for k, witness in enumerate(witnesses):
        loud = [replace(each, gradient=each.gradient * _LOUD) for each in witnesses]
        company = [*loud[:k], witness, *loud[k + 1 :]]
        (alone,) = _step(optimizer, [witness], 1.0)
        if not torch.equal(alone, _step(optimizer, company, 1.0)[k]):
            return True
    return False


def _sustained(optimizer: torch.optim.Optimizer, witnesses: Sequence[Moved]) -> float:
    """Update over the first one, once a gradient has stayed the same for long; nan where it does
    not settle. It is seen at the tensor that rounding hides least."""
    witness = max(witnesses, key=lambda each: _norm(each.gradient) / (_norm(each.tensor) or _TINY))
    with seeded(0):
        copy, start = OptimizerCopy(optimizer, [witness]), _numbers(witness.tensor)
        first, before = 0.0, 1.0
        for k in range(_LONGEST):
            update = float((_numbers(copy.step()[0]) - start).norm())
            first = first or update
            if not first or not isfinite(update):
                break
            if k % _OFTEN == _OFTEN - 1:
                now = update / first
                if abs(now / before - 1) < _SETTLED:
                    return now
                before = now
    return nan


def _norm(tensor: Tensor) -> float:
    return float(_numbers(tensor).norm())
