"""The tensors of one forward pass, as each call left them."""

import weakref
from collections.abc import Sequence

from torch import Tensor

from depthscale._probe import internals
from depthscale._probe.call_records import BUFFER, PARAMETER, Call, Value
from depthscale._probe.nodes import Slot


class ValueTable:
    """Records of tensors, by the tensor while it is alive, and by the autograd output that it is.

    Args:
        parameters, buffers: The model's own, which stay what they are whatever writes to them.
    """

    def __init__(self, parameters: Sequence[Tensor], buffers: Sequence[Tensor]):
        self.by_tensor: dict[int, Value] = {}  # by identity
        self.by_slot: dict[Slot, Value] = {}
        self._own: dict[int, int] = {}  # kinds, by identity
        for tensors, kind in ((buffers, BUFFER), (parameters, PARAMETER)):
            for tensor in tensors:
                self._own[id(tensor)] = kind
                self.add(tensor, kind)

    def add(self, tensor: Tensor, kind: int, call: Call | None = None) -> Value:
        """A new record of a tensor as it is now."""
        node, ref = tensor.grad_fn, weakref.ref(tensor)
        value = Value(ref, internals.version(tensor), kind, node, 0, is_counted(tensor), call)
        if node is not None:
            value.output = tensor.output_nr
            self.by_slot[node, value.output] = value
        self.by_tensor[id(tensor)] = value
        return value

    def add_all(self, outputs: Sequence[Tensor], kind: int, call: Call | None) -> None:
        """New records of what a call made; a parameter or a buffer that it wrote to stays one."""
        for tensor in outputs:
            value = self.add(tensor, self._own.get(id(tensor), kind), call)
            if call is not None:
                call.made.append(value)


def is_counted(tensor: Tensor) -> bool:
    """Whether it holds floating or complex numbers."""
    return tensor.is_floating_point() or tensor.is_complex()
