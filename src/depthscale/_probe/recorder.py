"""Recording a forward pass: one record for every call as it runs, with the statistics that need the
values; what a record means is resolved afterwards.

`probe` enters the recorder around the model's own forward pass, with a guard that keeps what the
pass is about to write to. A monitor enters it around the user's forward pass without a guard, for
nothing is put back, and resolves the calls before the user's backward pass begins. A rank of a
sharded model enters a recorder of its own, for its own thread and its own share of each tensor;
calls are in the order of running on every rank, so that equal numbers are one operation.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch.autograd.graph import Node
from torch.overrides import TorchFunctionMode

from depthscale._probe import internals
from depthscale._probe.call_records import (
    BUFFER,
    CONSTANT,
    PARAMETER,
    SIGNAL,
    Call,
    Checkpoint,
    Invocation,
    Role,
    Value,
)
from depthscale._probe.calls import (
    TorchFunction,
    hands_on,
    is_followed,
    tensors,
    torch_function,
)
from depthscale._probe.loss_calls import judged, target_facts
from depthscale._probe.modules import ModuleStack
from depthscale._probe.norm_calls import norm_call
from depthscale._probe.op_statistics import Output, read_statistics
from depthscale._probe.parameters import Parameters
from depthscale._probe.sketching import shape_of, sketch_of
from depthscale._probe.state import StateGuard
from depthscale._probe.value_table import ValueTable, is_counted
from depthscale.errors import UnsupportedTensor
from depthscale.network import torch_calls
from depthscale.run import NotSeen
from depthscale.sketch import Sketch
from depthscale.sketch.counting import is_own_kind


class Recorder(TorchFunctionMode):
    """While it is entered, every torch function called in this thread is seen; what it computes is
    not changed."""

    def __init__(
        self,
        modules: ModuleStack,
        parameters: Parameters,
        kept: StateGuard | None = None,
        norms: bool = False,
    ):
        super().__init__()
        self.calls: list[Call] = []
        self.checkpoints: list[Checkpoint] = []
        self.not_seen: list[NotSeen] = []
        self.outside: set[int] = set()  # identities of parameters whose values left torch
        self.norms = norms
        self._modules, self._kept, self._parameters = modules, kept, parameters
        self._depth = internals.depth()
        self._functions: dict[Callable[..., Any], TorchFunction] = {}
        self._table = ValueTable(parameters.all, parameters.buffers)
        self._wrote: Value | None = None  # what the call that runs wrote to
        self._given = False  # whether the model was given a tensor
        modules.on_leaving = self._left

    def begin(self, inputs: dict[str, Tensor]) -> None:
        """What the model is given, by name."""
        self._given = bool(inputs)
        for name, tensor in inputs.items():
            if is_counted(tensor):
                self._record("input", [tensor], [], path=name)
            else:
                self._table.add(tensor, SIGNAL)

    def close(self, outputs: list[Tensor]) -> None:
        """After the forward pass: what made the outputs, if no function was seen to."""
        for tensor in outputs:
            node = tensor.grad_fn
            if self.value(tensor).call is None and node is not None:
                self._unannounced(tensor, node)

    def release(self) -> None:
        """Once the calls are resolved, or the model has failed: what calls and values know of each
        other goes, so that nothing waits for the garbage collector."""
        self._modules.on_leaving = None
        for call in self.calls:
            call.read, call.made = (), []
        for each in self.checkpoints:
            each.read = []

    @contextmanager
    def checkpoint(self, args: object) -> Iterator[None]:
        """While a reentrant checkpoint runs. / args: what it was given."""
        with internals.unseen():
            given = tensors(args)
            read = [self.value(tensor) for tensor in given]
            pairs = zip(given, read, strict=True)
            trained = any(t.requires_grad and value.kind == PARAMETER for t, value in pairs)
        start = len(self.calls)
        yield
        self.checkpoints.append(Checkpoint(read, trained, self.calls[start:]))

    # ---- every call

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        function = self._functions.get(func)
        if function is None:
            function = self._functions[func] = torch_function(func)
        if function.asks or not self._listens():
            return func(*args, **kwargs)
        if function.follows and is_followed(*args):
            return None
        if function.opened is not None:
            with self:
                return function.opened(*args, **kwargs)
        given = tensors((*args, kwargs)) if kwargs else tensors(args)
        if self._kept is not None:
            self._keep(self._kept, function, args, kwargs)
        read = [self.value(tensor) for tensor in given]
        result = self.ran(function, func, args, kwargs)
        outputs = self._outputs(tensors(result) or given[:1], given, read)
        if outputs:
            self._saw(Invocation(function, args, kwargs, given, read), outputs)
        if function.leaves and not any(t.requires_grad for t in outputs):
            pairs = zip(given, read, strict=True)
            self.outside |= {id(t) for t, value in pairs if value.kind == PARAMETER}
        return result

    def ran(self, function: TorchFunction, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        return judged(function, args, kwargs) if function.judges else func(*args, **kwargs)

    def _listens(self) -> bool:
        """Whether what runs is this model's forward pass: neither a checkpoint's second one nor
        another probe's."""
        return not internals.in_backward() and internals.depth() == self._depth

    def _left(self, output: object) -> None:
        """What a module returns was made in that module, whoever uses it first."""
        if self._listens():
            for tensor in tensors(output):
                self.value(tensor)

    def _keep(self, kept: StateGuard, function: TorchFunction, args: Any, kwargs: Any) -> None:
        for tensor in function.written(args, kwargs):
            kept.before_write(tensor)
        if function.function is Tensor.backward:
            kept.before_backward()

    def _outputs(
        self, results: list[Tensor], given: list[Tensor], read: list[Value]
    ) -> list[Tensor]:
        """What a call made or wrote to; of x[i] = y, which returns nothing, x."""
        outputs: list[Tensor] = []
        self._wrote = None
        places = {id(tensor): i for i, tensor in enumerate(given)}  # all of them alive
        for tensor in results:
            place = places.get(id(tensor))
            if place is None:
                outputs.append(tensor)
                continue
            before = read[place]
            if before.version != (now := internals.version(tensor)):
                before.version = now
                self._wrote = before
                whole = internals.base_of(tensor)  # of a view, the tensor that it is a view of
                outputs.append(tensor if whole is None else whole)
        return outputs

    def _saw(self, ran: Invocation, outputs: list[Tensor]) -> None:
        function, read = ran.function, ran.read
        looked_at = read[:1] if function.like_another else read
        kind = self._joined(function, [value.kind for value in looked_at], outputs[0])
        counted = [t for t in outputs if is_counted(t)]
        if len(counted) < len(outputs):
            self._index(function.name, kind, read, [t for t in outputs if not is_counted(t)])
            if not counted:
                return
        if kind in (BUFFER, PARAMETER) and not function.embeds:
            self._table.add_all(counted, kind, None)
            return
        if self._wrote is not None:
            counted = [t for t in counted if not self._is_silent(function.name, t)]
            if not counted:
                return
        if len(counted) == 1 and hands_on(function, counted[0], ran.given):
            call = Call(function.name, Role.RESHAPE, self._modules.top, read)
            self.calls.append(call)
            self._table.add_all(counted, kind, call)
        elif kind == SIGNAL or any(t.requires_grad for t in counted):
            self._operation(ran, counted, kind)
        else:
            self._table.add_all(counted, CONSTANT, None)
            if internals.is_wrapped(counted[0]):
                why = "it runs inside a torch.func transform, whose tensors stand for others"
                self.not_seen.append(NotSeen(self._here(function.name), why))

    def _operation(self, ran: Invocation, made: list[Tensor], kind: int) -> None:
        """A call that makes values which are followed."""
        function, args, kwargs, given, read = ran
        asked = torch_calls.settings(function.name, args, kwargs)
        if function.embeds and kind != SIGNAL:  # of positions, say
            asked["same_for_all"] = True
        weights = [
            t
            for t, value in zip(given, read, strict=True)
            if value.counted and value.kind in (BUFFER, PARAMETER)
        ]
        if weights and not any(t.requires_grad for t in weights):
            asked["frozen"] = True
        call = self._record(function.name, made, read, asked, weights, arguments=(args, kwargs))
        if function.judges:
            asked |= target_facts(function.name, args, kwargs)
        if self.norms:
            call.norm = norm_call(function.function, function.name, args, kwargs, asked)

    def _index(self, name: str, kind: int, read: list[Value], made: list[Tensor]) -> None:
        followed = any(value.call is not None for value in read)
        call = Call(name, Role.INDEX, self._modules.top, read) if followed else None
        if call is not None:
            self.calls.append(call)
        self._table.add_all(made, kind, call)

    def _is_silent(self, name: str, tensor: Tensor) -> bool:
        """Whether a tensor was written to where autograd does not look, as under no_grad: its
        gradient passes as if that had not been, so that nothing new made it."""
        node = tensor.grad_fn
        if node is None or (node, tensor.output_nr) not in self._table.by_slot:
            return False
        why = "it writes where autograd does not look (no_grad?) to a value that has a gradient"
        self._table.by_slot[node, tensor.output_nr].silent = NotSeen(self._here(name), why)
        return True

    def _record(
        self,
        name: str,
        outputs: list[Tensor],
        read: list[Value],
        asked: dict[str, Any] | None = None,
        weights: Sequence[Tensor] = (),
        path: str | None = None,
        role: Role = Role.OPERATION,
        arguments: tuple[Any, Mapping[str, Any]] = ((), {}),
    ) -> Call:
        """A new operation, with all that needs its values."""
        first, given = outputs[0], {} if asked is None else asked
        wrapped = bool(weights) and internals.is_wrapped(first)
        call = Call(
            name=name,
            role=role,
            module=self._modules.top,
            read=read,
            path=path,
            shape=shape_of(first),
            dtype=str(first.dtype).removeprefix("torch."),
            size=first.numel() if len(outputs) == 1 else sum(t.numel() for t in outputs),
            settings=given,
            weights=[
                self._parameters.weight(t) for t in weights if not (wrapped or is_own_kind(t))
            ],
            activation=self._sketch(name, outputs),
            statistics=read_statistics(Output(name, given, first, read, *arguments)),
        )
        call.wrote, self._wrote = self._wrote, None
        self.calls.append(call)
        self._table.add_all(outputs, SIGNAL, call)
        return call

    def _sketch(self, name: str, outputs: list[Tensor]) -> Sketch | None:
        try:
            sketches = [sketch_of(t) for t in outputs]
            return sketches[0] if len(sketches) == 1 else sum(sketches[1:], sketches[0])
        except UnsupportedTensor as refused:
            self.not_seen.append(NotSeen(self._here(name), f"its activation: {refused}"))
            return None

    def _here(self, name: str) -> str:
        path = self._modules.top.path
        return f"{path}.{name}" if path else name

    # ---- every tensor

    def value(self, tensor: Tensor) -> Value:
        """The record of a tensor as it is now."""
        node, known = tensor.grad_fn, self._table.by_tensor.get(id(tensor))
        if known is not None and known.ref() is tensor:
            if known.node is node:
                known.version = internals.version(tensor)
                if known.silent is not None:
                    self.not_seen.append(known.silent)
                    known.silent = None
                return known
            return self._changed(tensor, node, known)
        return self._changed(tensor, node, None)

    def _changed(self, tensor: Tensor, node: Node | None, before: Value | None) -> Value:
        """The record of a tensor that no call was seen to make: a constant, an output of a custom
        autograd.Function, a view whose base was written to."""
        kind, call = (CONSTANT, None) if before is None else (before.kind, before.call)
        kind = PARAMETER if self._parameters.adopts(tensor, self._modules.top) else kind
        if node is None or kind in (BUFFER, PARAMETER) or not is_counted(tensor):
            return self._table.add(tensor, kind, call)
        known = self._table.by_slot.get((node, tensor.output_nr))
        if known is not None:
            return self._table.add(tensor, known.kind, known.call)
        base = internals.base_of(tensor)
        if base is not None and base.numel() == tensor.numel():
            viewed = self.value(base)
            call = Call("view", Role.RESHAPE, self._modules.top, [viewed])
            self.calls.append(call)
            value = self._table.add(tensor, viewed.kind if before is None else kind, call)
            call.made.append(value)
            return value
        return self._unannounced(tensor, node)

    def _unannounced(self, tensor: Tensor, node: Node) -> Value:
        name = type(node).__name__
        kind_of_node = name.removesuffix("0").removesuffix("Backward")
        slots: Any = node.next_functions
        sources = (self._table.by_slot.get(slot) for slot in slots)
        read = [value for value in sources if value is not None]
        given = {"autograd": name}
        call = self._record(kind_of_node, [tensor], read, given, role=Role.UNANNOUNCED)
        return call.made[0]

    def _joined(self, function: TorchFunction, kinds: list[int], output: Tensor) -> int:
        """What an output derives from, by what went in: of parameters and constants, from
        parameters, unless constants are all that the model works on, stand for others, or are a
        signal of their own that a map takes, as a first state; of buffers and constants, from
        nothing that is followed."""
        kind = max(kinds, default=CONSTANT)
        if kind == SIGNAL or min(kinds, default=CONSTANT) > CONSTANT:
            return kind
        ours = kind == PARAMETER and self._given and not internals.is_wrapped(output)
        begins = function.maps and kinds[0] == CONSTANT
        return PARAMETER if ours and not begins else CONSTANT
