"""Recording a forward pass: every operation as it runs, its activation counted at once, its place
in autograd's graph."""

import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

from depthscale._probe import internals
from depthscale._probe.calls import QUESTIONS, is_reshape, name_of, tensors, written
from depthscale._probe.dead import dead_units
from depthscale._probe.likeness import Products, products_of
from depthscale._probe.modules import ModuleStack
from depthscale._probe.nodes import Claims, Exit, Slot
from depthscale._probe.norm_calls import NormCall, norm_call
from depthscale._probe.parameters import Parameters, Weight
from depthscale._probe.sketching import shape_of, sketch_of
from depthscale._probe.untouched import Kept
from depthscale.errors import UnsupportedTensor
from depthscale.network import torch_calls
from depthscale.run import NotSeen
from depthscale.sketch import Sketch
from depthscale.sketch.sketch import is_own_kind


@dataclass(eq=False)
class Draft:
    """An operation while it is being recorded; see TracedOp for the fields."""

    op: str
    path: str
    module_class: str
    call: int
    leaf_module: bool
    shape: tuple[int, ...]
    dtype: str
    size: int
    activation: Sketch | None
    reads: list[int]
    slots: list[Slot]
    exits: list[Exit]
    settings: dict[str, Any]
    weights: list[Weight]
    products: Products | None
    dead: float | Tensor | None
    norm: NormCall | None = None


class Values:
    """What is known of tensors that are alive, by identity."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[weakref.ref[Tensor], Any]] = {}

    def __setitem__(self, tensor: Tensor, value: Any) -> None:
        self._known[id(tensor)] = (weakref.ref(tensor), value)

    def get(self, tensor: Tensor) -> Any:
        found = self._known.get(id(tensor))
        return found[1] if found is not None and found[0]() is tensor else None


class Recorder(TorchFunctionMode):
    """While it is entered, every torch function called in this thread is seen; what it computes is
    not changed."""

    def __init__(
        self, modules: ModuleStack, kept: Kept, parameters: Parameters, norms: bool = False
    ):
        super().__init__()
        self.drafts: list[Draft] = []
        self.claims = Claims()
        self.not_seen: list[NotSeen] = []
        self._modules, self._kept, self.norms = modules, kept, norms
        self._parameters = parameters
        self._depth = internals.depth()
        modules.on_leaving = self._left
        self._origin = Values()  # tensor -> operation, where autograd does not say it
        self._fixed = Values()  # tensors that depend on those alone
        self._derived = Values()  # tensors that depend on the inputs
        # integer and boolean tensor -> operation that it was made from, as by an argmax
        self._picked = Values()

    # ---- what the model is given

    def begin(self, inputs: dict[str, Tensor]) -> None:
        """What the model is given, by name."""
        for name, tensor in inputs.items():
            self._derived[tensor] = True
            if _counted(tensor):
                self._record("input", [tensor], [], (), {}, path=name)

    # ---- every call

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in QUESTIONS or not self._listens():
            return func(*args, **kwargs)
        given = tensors((args, kwargs))
        for tensor in written(func, args, kwargs):
            self._kept.before_write(tensor)
        if func is Tensor.backward:
            self._kept.before_backward()
        for tensor in given:
            self._close_gap(tensor)
        before = {id(tensor): internals.version(tensor) for tensor in given}
        reads = [self._producer(tensor) for tensor in given]
        result = func(*args, **kwargs)
        results = tensors(result) or given[:1]  # x[i] = y returns nothing
        outputs = [_whole(t, before) for t in results if before.get(id(t)) != internals.version(t)]
        if outputs:
            self._saw(func, args, kwargs, given, reads, before, outputs)
        return result

    def _listens(self) -> bool:
        """Whether what runs is this model's forward pass: neither a checkpoint's second one nor
        another probe's."""
        return not internals.in_backward() and internals.depth() == self._depth

    def _left(self, output: object) -> None:
        """What a module returns was made in that module, whoever uses it first."""
        if self._listens():
            for tensor in tensors(output):
                self._close_gap(tensor)

    def _saw(
        self,
        func: Any,
        args: Any,
        kwargs: Any,
        given: list[Tensor],
        reads: Any,
        before: Any,
        outputs: Any,
    ) -> None:
        name = name_of(func)
        read = given[:1] if torch_calls.takes_shape_of_another(name) else given
        fixed = bool(read) and not torch_calls.is_embedding(name) and all(map(self._is_fixed, read))
        derived = any(self._derived.get(t) for t in read)
        for t in outputs:
            if fixed:
                self._fixed[t] = True
            elif derived:
                self._derived[t] = True
        picks = self._picks(given)
        chosen_from = [*(r for r in reads if r is not None), *picks]
        for t in outputs:
            if chosen_from and not _counted(t):
                self._picked[t] = chosen_from[0]
        outputs = [t for t in outputs if _counted(t)]
        if fixed or not outputs:
            return
        if len(outputs) == 1 and is_reshape(name, outputs[0], given, before):
            self._pass_through(outputs[0], reads[0])
        elif derived or any(t.requires_grad for t in outputs):
            asked = torch_calls.settings(name, args, kwargs)
            if torch_calls.is_embedding(name) and not derived:  # of positions, say
                asked["same_for_all"] = True
            if picks:
                asked["picked_by"] = picks
            beside = [t for t in given if _counted(t) and self._is_fixed(t)]
            if beside and not any(t.requires_grad for t in beside):
                asked["frozen"] = True
            self._record(name, outputs, [r for r in reads if r is not None], beside, asked)
            if self.norms:
                self.drafts[-1].norm = norm_call(func, name, args, kwargs, asked)
        elif internals.is_wrapped(outputs[0]):
            self.not_seen.append(
                NotSeen(
                    self._here(name),
                    "it runs inside a torch.func transform, whose tensors stand for others",
                )
            )

    def _record(
        self,
        name: str,
        outputs: list[Tensor],
        reads: list[int],
        beside: Iterable[Tensor],
        found: dict[str, Any],
        path: str | None = None,
    ) -> None:
        """A new operation. / beside: parameters and what is made of them alone, to which no
        gradient of the signal goes."""
        number = len(self.drafts)
        slots = [(t.grad_fn, t.output_nr) for t in outputs if t.grad_fn is not None]
        top, wrapped = self._modules.top, internals.is_wrapped(outputs[0])
        self.drafts.append(
            Draft(
                op=name,
                path=top.path if path is None else path,
                module_class=type(top.module).__name__ if path is None else "",
                call=top.number,
                leaf_module=path is None and not top.module._modules,
                shape=shape_of(outputs[0]),
                dtype=str(outputs[0].dtype).removeprefix("torch."),
                size=sum(t.numel() for t in outputs),
                activation=self._sketch(name, outputs),
                reads=reads,
                slots=slots,
                exits=self.claims.claim(number, slots),
                settings=found,
                weights=[
                    self._parameters.weight(t) for t in beside if not (wrapped or is_own_kind(t))
                ],
                products=products_of(outputs[0]) if torch_calls.is_compared(name, found) else None,
                dead=dead_units(outputs[0], self._positions_of_map(reads))
                if torch_calls.is_rectifier(name, found)
                else None,
            )
        )
        for t in outputs:
            self._origin[t] = number

    def _pass_through(self, output: Tensor, source: int | None) -> None:
        if output.grad_fn is not None:
            self.claims.pass_through(output.grad_fn)
        if source is not None:
            self._origin[output] = source

    def _producer(self, tensor: Tensor) -> int | None:
        if tensor.grad_fn is not None:
            found = self.claims.producer((tensor.grad_fn, tensor.output_nr))
            if found is not None:
                return found
        return self._origin.get(tensor)

    def close(self, outputs: list[Tensor]) -> None:
        """After the forward pass: what made the outputs, if no function was seen to."""
        for tensor in outputs:
            self._close_gap(tensor)

    def _close_gap(self, tensor: Tensor) -> None:
        """A tensor made by nodes that no call announced, as a custom autograd.Function's, becomes
        an operation of its own."""
        node = tensor.grad_fn
        if node is None or self._is_fixed(tensor) or not _counted(tensor):
            return
        if self.claims.known(node):
            self._one_more_output(tensor, (node, tensor.output_nr))
            return
        base = internals.base_of(tensor)
        if (
            base is not None and base.numel() == tensor.numel()
        ):  # a view made again after it, or its base, was written to
            self.claims.pass_through(node)
            return
        self._record(_node_kind(node), [tensor], [], (), {"autograd": type(node).__name__})
        draft = self.drafts[-1]
        draft.reads = [
            p for p in (self.claims.producer(e.target) for e in draft.exits) if p is not None
        ]
        self._derived[tensor] = True

    def _one_more_output(self, tensor: Tensor, slot: Slot) -> None:
        """Another output of a node that no call announced belongs to the operation that its first
        one made."""
        number = self.claims.owner.get(slot[0])
        if number is None or slot in self.claims.outputs:
            return
        draft = self.drafts[number]
        if any(node is slot[0] for node, _ in draft.slots):
            self.claims.outputs[slot] = number
            draft.slots.append(slot)
            draft.size += tensor.numel()
            more = self._sketch(draft.op, [tensor])
            draft.activation = draft.activation + more if draft.activation and more else None
            self._origin[tensor] = number

    def _sketch(self, name: str, outputs: list[Tensor]) -> Sketch | None:
        try:
            first, *others = (sketch_of(t) for t in outputs)
            return sum(others, first)
        except UnsupportedTensor as refused:
            self.not_seen.append(NotSeen(self._here(name), f"its activation: {refused}"))
            return None

    def _picks(self, given: Iterable[Tensor]) -> tuple[int, ...]:
        """Operations that the indices and masks among these were made from: no gradient goes back
        that way."""
        return tuple(found for t in given if (found := self._picked.get(t)) is not None)

    def _is_fixed(self, tensor: Tensor) -> bool:
        return tensor in self._parameters or bool(self._fixed.get(tensor))

    def _positions_of_map(self, reads: list[int]) -> int | None:
        """Axes of positions of what the linear map or convolution makes that values come from, by
        the first thing that each operation reads; None without one."""
        while reads:
            above = self.drafts[reads[0]]
            positions = torch_calls.positions_of_map(above.op)
            if positions is not None:
                return positions
            reads = above.reads
        return None

    def _here(self, name: str) -> str:
        return ".".join(part for part in (self._modules.top.path, name) if part)


def _whole(tensor: Tensor, before: dict[int, int]) -> Tensor:
    """What was written to: for a view written in place, the tensor that it is a view of."""
    base = internals.base_of(tensor) if id(tensor) in before else None
    return tensor if base is None else base


def _counted(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def _node_kind(node: Any) -> str:
    return type(node).__name__.removesuffix("0").removesuffix("Backward")
