"""Sampling: one training step of the user's, looked at from its beginning to its end."""

from collections.abc import Callable
from contextlib import ExitStack
from itertools import count
from math import nan
from typing import Any

from torch import nn

from depthscale._probe import (
    OwnPasses,
    Tree,
    eager,
    has_compiled,
    is_shared,
    over_ranks,
    own_run,
)
from depthscale.monitor.loss_scale import LossScale
from depthscale.monitor.optimizer_watch import OptimizerWatch
from depthscale.monitor.recording import SampledStep
from depthscale.monitor.step_row import StepFacts
from depthscale.run import Run

_numbers = count()  # of monitors, alike on all ranks
_NO_SCALER = (
    "the model computes in float16 and no GradScaler was seen: if the loss was multiplied, "
    "gradients are shown so; hand the scaler over as scaler="
)
_COMPILED = (
    "torch.compile has compiled something in this process, and what is compiled shows no "
    'operation: give compiled="eager", whose sampled steps run eagerly'
)


class Sampling:
    """While it is entered, a step is looked at. Nothing that goes wrong in it is raised.

    Args:
        model: that is trained; tree: of it.
        scale: of its loss.
        params: whether optimizers are watched.
        runs_eagerly: whether compiled models run as they are written meanwhile.
        group: of ranks whose shares are added up; see `is_shared`.
    """

    def __init__(
        self,
        model: nn.Module,
        tree: Tree,
        scale: LossScale,
        params: bool,
        runs_eagerly: bool,
        group: Any = None,
    ):
        self._model, self._tree, self._scale = model, tree, scale
        self._params, self._runs_eagerly = params, runs_eagerly
        self._group, self._number = group, next(_numbers)
        self._hooks = ExitStack()
        self._seen: OwnPasses | None = None
        self._optimizers: OptimizerWatch | None = None
        self.wrong: list[str] = []

    def __enter__(self) -> "Sampling":
        self._attempt(self._begin)
        return self

    def __exit__(self, *raised: Any) -> None:
        self._attempt(self._hooks.close)

    def _begin(self) -> None:
        if has_compiled() and not self._runs_eagerly:
            self.wrong.append(_COMPILED)
            return
        with ExitStack() as hooks:
            if self._runs_eagerly:
                hooks.enter_context(eager())
            if self._params:
                self._optimizers = hooks.enter_context(OptimizerWatch(self._tree))
            hooks.enter_context(self._scale.looking())
            self._seen = hooks.enter_context(OwnPasses(self._tree, self._scale.now, self._ran_back))
            self._hooks = hooks.pop_all()

    def _ran_back(self, scale: float) -> None:
        if self._optimizers is not None:
            self._optimizers.after_backward(dict(self._tree.parameters), scale)

    def result(self, step: int) -> SampledStep | None:
        """What was seen; None where nothing was, and `wrong` tells why."""
        seen, optimizers = self._seen, self._optimizers
        self._seen = self._optimizers = None
        if seen is None:
            return None
        wrong = [*seen.wrong, *(() if optimizers is None else optimizers.wrong)]
        self.wrong += [f"{type(each).__name__}: {each}" for each in wrong]
        if not seen.passes:
            if not wrong:
                self.wrong.append(_nothing(seen))
            return None
        return self._attempt(lambda: self._sampled(step, seen, optimizers))

    def _sampled(
        self, step: int, seen: OwnPasses, optimizers: OptimizerWatch | None
    ) -> SampledStep:
        stepped = {} if optimizers is None else optimizers.stepped
        optimized = optimizers.optimized if optimizers is not None and optimizers.steps else None
        run = own_run(seen, self._tree, type(self._model).__name__, stepped, optimized)
        if is_shared(self._group):
            run = over_ranks(run, self._tree, self._group, f"{self._number}/{step}")
        last, steps = seen.passes[-1], 0 if optimizers is None else optimizers.steps
        half = any(op.dtype == "float16" for op in run.ops)
        if half and not self._scale.is_known:
            self.wrong.append(_NO_SCALER)
        facts = StepFacts(
            loss=nan if last.loss is None else float(last.loss) / last.scale,
            scale=last.scale,
            scale_known=self._scale.is_known or not half,
            skipped=self._scale.is_known and not steps and _overflows(run),
            passes=len(seen.passes),
            optimizer_steps=steps,
            clipped=nan if optimizers is None else optimizers.clipped,
            dropped=tuple(self.wrong),
        )
        return SampledStep(step, run, facts)

    def _attempt(self, look: Callable[[], Any]) -> Any:
        try:
            return look()
        except Exception as wrong:
            self.wrong.append(f"{type(wrong).__name__}: {wrong}")
            return None


def _overflows(run: Run) -> bool:
    gradients = (op.gradient for op in run.ops if op.gradient is not None)
    return any(gradient.finite < gradient.count for gradient in gradients)


def _nothing(seen: OwnPasses) -> str:
    if seen.missed:
        return (
            "a backward pass ran, and no forward pass of the model was seen before it in this "
            "step: is this the model that is trained, and its forward pass inside the step?"
        )
    return "no backward pass ran inside the step"
