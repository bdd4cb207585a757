"""The user's own forward and backward passes of one training step, seen as they run: nothing runs
twice, and nothing is computed otherwise."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from math import log2
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from depthscale._probe import internals
from depthscale._probe.call_records import Checkpoint
from depthscale._probe.calls import tensors
from depthscale._probe.modules import ModuleCall, watched
from depthscale._probe.nodes import Slot
from depthscale._probe.outputs import named_leaves
from depthscale._probe.parameters import Parameters
from depthscale._probe.resolve import Operations, resolved
from depthscale._probe.sketching import is_dense
from depthscale._probe.tree import Tree
from depthscale._probe.unharmed import UnharmedBackward, UnharmedRecorder
from depthscale.run import NotSeen
from depthscale.sketch import Sketch

_BACKWARD = (Tensor.backward, torch.autograd.backward)
_WEIGHTS = 1 << 16  # values of a weight whose mean square is read: 0.6 % at one standard error
_ROWS = 32  # of it that are read at least


class SampledParameters(Parameters):
    """Parameters whose mean squares are those of some rows, evenly spread: a step of training has
    just brought them near, and reading all of them would cost what an optimizer's step does."""

    def _mean_square(self, tensor: Tensor) -> float | Tensor:
        rows = len(tensor) // _ROWS if is_dense(tensor) and tensor.dim() > 1 else 0
        step = min(rows, tensor.numel() // _WEIGHTS)
        return super()._mean_square(tensor[::step] if step > 1 else tensor)


@dataclass
class OwnPass:
    """One forward pass with one backward pass of it.

    Args:
        ops: The operations of the forward pass.
        reading: Of the backward pass.
        roots: What was differentiated.
        cotangents: What was put there, as it is reported.
        loss: The value of what was differentiated, as it is reported; None where it is no number.
        scale: What gradients are divided by.
        batch: Size of the first axis of the first input.
        checkpoints: The reentrant ones.
        outside: Identities of parameters whose values left torch.
        not_seen: What could not be looked at.
        reached: Identities of parameters that have a gradient since.
    """

    ops: Operations
    reading: UnharmedBackward
    roots: list[Slot]
    cotangents: list[Sketch]
    loss: Tensor | None
    scale: float
    batch: int
    checkpoints: Sequence[Checkpoint]
    outside: set[int]
    not_seen: Sequence[NotSeen]
    reached: set[int] = field(default_factory=set)


class OwnPasses(TorchFunctionMode):
    """While it is entered, the passes of one training step are seen.

    Recording begins with the first module that is called where autograd looks, and ends where a
    backward pass begins; the operations in between that no module holds are the loss.

    Args:
        tree: Of the model.
        scale: Tells what the loss is multiplied by when its backward pass begins.
        ran_back: Called with that when it has ended.

    Attributes:
        passes: What was seen.
        wrong: What failed, each of which cost a pass.
        missed: Backward passes of which no forward pass was seen.
        again: Backward passes over what another one had gone over.
    """

    def __init__(
        self,
        tree: Tree,
        scale: Callable[[], float] = lambda: 1.0,
        ran_back: Callable[[float], None] = lambda scale: None,
    ):
        super().__init__()
        self.passes: list[OwnPass] = []
        self.wrong: list[Exception] = []
        self.missed = self.again = 0
        self.parameters = SampledParameters(tree, 0, sketched=False, kept=False)
        self._tree, self._scale, self._told = tree, scale, ran_back
        self._recorder: UnharmedRecorder | None = None
        self._batch = 1

    def __enter__(self) -> "OwnPasses":
        with ExitStack() as hooks:
            self._modules = hooks.enter_context(watched(self._tree))
            self._modules.on_entering = self._entered
            self._base = self._modules.top
            super().__enter__()
            self._hooks = hooks.pop_all()
        return self

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)
        self._hooks.close()
        if self._recorder is not None:
            self._end(self._recorder)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _BACKWARD and not internals.in_backward():
            return self._ran_back(func, args, kwargs)
        if self._recorder is None:
            return func(*args, **kwargs)
        return self._recorder.__torch_function__(func, types, args, kwargs)

    # ---- forward

    def _entered(self, args: Any, kwargs: Any) -> None:
        """A module is called; the outermost one is given what the model works on."""
        outermost = len(self._modules.calls) == 1 and torch.is_grad_enabled()
        if outermost and not internals.in_backward():
            self._safely(lambda: self._given(args, kwargs))

    def _given(self, args: Any, kwargs: Any) -> None:
        self._modules.calls[0] = self._base
        if self._recorder is None:
            self._recorder = UnharmedRecorder(self._modules, self.parameters)
            self._modules.on_leaving = self._left
            self._batch = 0
        recorder = self._recorder
        given = dict(_named(args, kwargs))
        self._batch = self._batch or next((t.shape[0] for t in given.values() if t.dim()), 1)
        recorder.attempt(recorder.begin_unknown, given)

    def _left(self, output: object) -> None:
        """A module returns; behind the model itself the loss begins."""
        modules = self._modules
        if self._recorder is not None:
            self._recorder.left(output)
        if len(modules.calls) == 2 and modules.top.module is self._base.module:
            modules.made += 1
            modules.calls[0] = ModuleCall("loss", nn.Identity(), modules.made)

    # ---- backward

    def _ran_back(self, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        seen = self._begun(args, kwargs)
        if seen is None:
            returned = func(*args, **kwargs)
            self._safely(lambda: self._told(1.0))
            return returned
        with ExitStack() as hooks:
            self._safely(lambda: hooks.enter_context(seen.reading.watched()))
            returned = func(*args, **kwargs)
        self._ended(seen)
        return returned

    def _ended(self, seen: OwnPass) -> None:
        self._safely(lambda: self._told(seen.scale))
        seen.reached = {id(p) for p in self.parameters.all if p.grad is not None}
        if seen.reading.wrong is None:
            self.passes.append(seen)
        else:
            self.wrong.append(seen.reading.wrong)

    def _begun(self, args: Any, kwargs: Any) -> OwnPass | None:
        """What a backward pass that begins will bring, ready to be watched."""
        recorder, self._recorder = self._recorder, None
        if recorder is None:
            self.again += bool(self.passes)
            self.missed += not self.passes
            return None
        ready: OwnPass | None = None
        if recorder.wrong is None:
            with internals.unseen():
                ready = self._safely(lambda: self._ready(recorder, args, kwargs))
        self._end(recorder)
        return ready

    def _ready(self, recorder: UnharmedRecorder, args: Any, kwargs: Any) -> OwnPass | None:
        targets = [t for t in tensors(args[:1]) if t.grad_fn is not None]
        if not targets:
            return None
        recorder.close(targets)
        scale = self._scale()
        log2_scale = -round(log2(scale))
        ops = resolved(recorder.calls, recorder.checkpoints)
        roots: list[Slot] = [(t.grad_fn, t.output_nr) for t in targets if t.grad_fn is not None]
        reading = UnharmedBackward(ops, roots, log2_scale, norms=False)
        given = tensors([*args[1:2], kwargs.get("gradient"), kwargs.get("grad_tensors")])
        weights = given or [torch.ones_like(t) for t in targets]
        handed = [reading.hand(slot, g) for slot, g in zip(roots, weights, strict=True)]
        loss = targets[0].detach() if targets[0].numel() == 1 else None
        return OwnPass(
            ops,
            reading,
            roots,
            handed,
            loss,
            scale,
            self._batch,
            recorder.checkpoints,
            recorder.outside,
            recorder.not_seen,
        )

    def _end(self, recorder: UnharmedRecorder) -> None:
        self._recorder = None
        self._safely(recorder.release)
        if recorder.wrong is not None:
            self.wrong.append(recorder.wrong)

    def _safely(self, look: Callable[[], Any]) -> Any:
        """What may go wrong, and is kept then."""
        try:
            return look()
        except Exception as wrong:
            self.wrong.append(wrong)
            return None


def _named(args: Any, kwargs: Mapping[str, Any]) -> list[tuple[str, Tensor]]:
    """The tensors that a module is given, by the names that a probe gives them."""
    names = ["input"] if len(args) == 1 else [f"input.{i}" for i in range(len(args))]
    named = [*zip(names, args, strict=True), *kwargs.items()]
    return [leaf for name, value in named for leaf in named_leaves(value, name)]
