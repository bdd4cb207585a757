"""What the probe needs of torch that torch does not promise: every such name is in this file."""

import gc
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from types import FunctionType
from typing import Any, cast

import torch
import torch.utils.checkpoint as checkpointing
from torch import Tensor
from torch.autograd.graph import Node
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

_probing = threading.local()
_turn = threading.RLock()
_patch = threading.Lock()
_patched = 0
_reentrant = checkpointing.CheckpointFunction
_cond = torch.cond


def in_backward() -> bool:
    """Whether autograd is running in this thread, as it is while a checkpoint computes its forward
    pass again."""
    return running_pass() != -1


def running_pass() -> int:
    """Autograd's number of the innermost backward pass that is running in this thread, -1
    outside."""
    return torch._C._current_graph_task_id()


def depth() -> int:
    """How many probes are under way in this thread, one inside the other."""
    return getattr(_probing, "depth", 0)


@contextmanager
def _uncollected() -> Iterator[None]:
    """No garbage is collected while the context lasts: a graph of many nodes is gone through whole
    each time, and nothing of it can be freed before the end."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


@contextmanager
def foremost() -> Iterator[None]:
    """What runs while the context lasts belongs to one more probe, and the others of this thread do
    not look.

    Threads take turns: hooks belong to a model, and random states to the process.
    """
    with _turn, _uncollected():
        _probing.depth = depth() + 1
        try:
            yield
        finally:
            _probing.depth -= 1


def is_leaf(node: Node) -> bool:
    """Whether a node hands the gradient to a parameter or another leaf."""
    return hasattr(node, "variable")


def is_wrapped(tensor: Tensor) -> bool:
    """Whether a tensor stands for others inside torch.func transforms, and has no memory of its
    own."""
    return torch._C._functorch.is_functorch_wrapped_tensor(tensor)  # type: ignore[attr-defined]


def version(tensor: Tensor) -> int:
    """How often a tensor was written to; one number for those that do not count."""
    try:
        return tensor._version
    except RuntimeError:  # made in inference mode
        return -1


def base_of(tensor: Tensor) -> Tensor | None:
    return tensor._base


def unseen() -> Any:
    """What runs inside is not shown to function modes: a look at a tensor's attributes would be a
    call like any other."""
    return torch._C.DisableTorchFunction()


def eager() -> Any:
    """Compiled modules run as written. / Only where something was compiled: asking loads the
    compiler."""
    return (
        torch.compiler.set_stance("force_eager")
        if "torch._dynamo" in sys.modules
        else nullcontext()
    )


def has_compiled() -> bool:
    """Whether torch.compile has compiled anything in this process."""
    utils = sys.modules.get("torch._dynamo.utils")
    return utils is not None and bool(utils.counters["frames"]["ok"])


def is_compiled(module: torch.nn.Module) -> bool:
    """Whether a module is a compiled one, or was told to compile itself."""
    return hasattr(module, "_orig_mod") or module._compiled_call_impl is not None


def rank_store(prefix: str) -> Any:
    """Where the processes of the default group met, with keys of its own."""
    from torch._C._distributed_c10d import PrefixStore
    from torch.distributed import distributed_c10d

    return PrefixStore(prefix, distributed_c10d._get_default_store())


def opened(function: Any) -> Callable[..., Any]:
    """A function of torch's that is written in Python, which does not hand itself over whole to
    function modes: they see what it calls."""
    names = {**function.__globals__, "has_torch_function": lambda tensors: False}
    copy = FunctionType(
        function.__code__,
        names,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


@dataclass(frozen=True)
class SavedStatistics:
    """What a Batch Norm's node kept in train mode. / x: [N, C, ...] its input; mean, inverse_sigma,
    gamma: [C]."""

    x: Tensor
    mean: Tensor
    inverse_sigma: Tensor
    gamma: Tensor | None
    eps: float


def saved_statistics(node: Node) -> SavedStatistics | None:
    """Of a Batch Norm in train mode whose node says so, else None. / A checkpoint gives what it
    saved once, to autograd itself."""
    kept: Any = node
    try:
        if not getattr(node, "_saved_training", False) or not hasattr(node, "_saved_result2"):
            return None
        return _saved(kept)
    # of the user's own saved_tensors_hooks, which may give what they keep once, as checkpoints do
    except Exception:
        return None


def _saved(kept: Any) -> SavedStatistics:
    return SavedStatistics(
        kept._saved_input,
        kept._saved_result1,
        kept._saved_result2,
        kept._saved_weight,
        kept._saved_eps,
    )


def slopes(node: Node, position: int, like: Tensor) -> Tensor | None:
    """What an elementwise operation's node multiplies a gradient by, asked while its saved tensors
    are there.

    position: of the edge to its input; None where it cannot be asked: a checkpoint gives what it
    saved once.
    """
    if type(node).__name__ == "CopySlices":  # written into a view: its gradient is the whole base's
        return None
    ask: Any = node
    try:
        found = ask(torch.ones_like(like))
    except Exception:  # as above
        return None
    return found[position] if isinstance(found, tuple) else found


@contextmanager
def only_hooks(
    hooks: Iterable[tuple[Tensor, Callable[[Tensor | None], Tensor | None] | None]],
) -> Iterator[None]:
    """While the context lasts, one hook, or none, is called with each of some leaves' whole
    gradient, and the user's are not.

    What the hook returns, unless None, stands for the gradient from there on.
    """
    hooked: list[tuple[Any, Any]] = []
    for leaf, hook in hooks:
        if hook is not None or leaf._backward_hooks:
            hooked.append((leaf, leaf._backward_hooks))
            cast(Any, leaf)._backward_hooks = None if hook is None else OrderedDict({0: hook})
    try:
        yield
    finally:
        for leaf, users in hooked:
            leaf._backward_hooks = users


@contextmanager
def as_written(
    around: Callable[[object], AbstractContextManager[None]] | None = None,
) -> Iterator[None]:
    """What this thread would hide runs where autograd and the probe see it: reentrant checkpoints
    as non-reentrant ones, of torch.cond's branches the one that is taken.

    Args:
        around: Makes a context for each reentrant checkpoint from what it is given.
    """
    global _patched
    with _patch:
        _patched += 1
        checkpointing.CheckpointFunction = _VisibleCheckpoint  # type: ignore[misc, assignment]
        torch.cond = _taken_branch
    before = getattr(_probing, "on", False), getattr(_probing, "around", None)
    _probing.on, _probing.around = True, around
    try:
        yield
    finally:
        _probing.on, _probing.around = before
        with _patch:
            _patched -= 1
            if not _patched:
                checkpointing.CheckpointFunction = _reentrant  # type: ignore[misc]
                torch.cond = _cond


@contextmanager
def quiet_optimizers() -> Iterator[None]:
    """Hooks that the user set on the steps of all optimizers do not run while the context lasts."""
    tables: list[Any] = [_global_optimizer_pre_hooks, _global_optimizer_post_hooks]
    kept = [dict(table) for table in tables]
    for table in tables:
        table.clear()
    try:
        yield
    finally:
        for table, hooks in zip(tables, kept, strict=True):
            table.update(hooks)


def _taken_branch(pred: Any, true_fn: Any, false_fn: Any, operands: Any = ()) -> Any:
    if not getattr(_probing, "on", False):
        return _cond(pred, true_fn, false_fn, operands)
    return (true_fn if pred else false_fn)(*operands)


class _VisibleCheckpoint:
    @staticmethod
    def apply(function: Any, preserve_rng_state: bool, *args: Any) -> Any:
        if not getattr(_probing, "on", False):
            return _reentrant.apply(function, preserve_rng_state, *args)
        around = getattr(_probing, "around", None) or (lambda args: nullcontext())
        with around(args):
            return checkpointing.checkpoint(
                function, *args, use_reentrant=False, preserve_rng_state=preserve_rng_state
            )


def has_changed(node: Node) -> bool:
    """Whether a tensor that a node keeps for its backward pass was written to since."""
    for name in dir(node):
        if name.startswith("_saved_"):
            try:
                getattr(node, name)
            except RuntimeError as refused:
                if "inplace operation" in str(refused):
                    return True
    return False
