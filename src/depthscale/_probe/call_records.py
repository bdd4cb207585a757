"""What is recorded of a forward pass: its tensors, its calls, its reentrant checkpoints."""

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, NamedTuple

from torch import Tensor
from torch.autograd.graph import Node

from depthscale._probe.calls import TorchFunction
from depthscale._probe.modules import ModuleCall
from depthscale._probe.nodes import Exit, Slot
from depthscale._probe.norm_calls import NormCall
from depthscale._probe.parameters import Weight
from depthscale.run import NotSeen
from depthscale.sketch import Sketch

# what a tensor derives from: nothing that is known, buffers alone, parameters, the inputs
CONSTANT, BUFFER, PARAMETER, SIGNAL = range(4)


class Role(Enum):
    """What a call does with values."""

    OPERATION = auto()  # it makes new ones
    RESHAPE = auto()  # it hands on those of its first argument
    INDEX = auto()  # it makes integers or booleans of them, to which no gradient goes
    UNANNOUNCED = auto()  # a node of autograd's that no call made, as of a custom Function


@dataclass(eq=False, slots=True)
class Value:
    """A tensor as one call left it; the record itself is its serial number.

    Args:
        ref: The tensor, while it is alive.
        version: How often it had been written to when it was last seen.
        kind: CONSTANT, BUFFER, PARAMETER or SIGNAL.
        node: Its grad_fn.
        output: Which of the node's outputs it is.
        counted: It holds floating or complex numbers.
        call: What made it; None where nothing was seen to, or where it is not followed.
        silent: A write that autograd does not know of, until a call reads what was written.
    """

    ref: weakref.ref[Tensor]
    version: int
    kind: int
    node: Node | None
    output: int
    counted: bool
    call: "Call | None" = None
    silent: NotSeen | None = None


@dataclass(eq=False, slots=True)
class Call:
    """A call that ran, and what it means once it is resolved.

    Args:
        name: Of its function.
        role: What it does with values.
        module: The module that it ran in.
        read: Its tensors, in order.
        made: Its outputs.
        wrote: What it wrote to, as that was before.
        path: Where it stands, if not in its module.
        shape: Of the first output.
        dtype: Of the first output.
        size: Elements of all outputs.
        settings: What the function was called with.
        weights: Parameters, and what is made of them alone, that went in beside the signal.
        activation: Sketch of all outputs.
        statistics: What else is read of the first output, by field of Details.
        number: The operation that it is, or whose values it hands on; None if none is.
        reads: Operations that it reads, in order.
        slots: Outputs of autograd's nodes that are its own.
        exits: Its ways out, towards the input.
    """

    name: str
    role: Role
    module: ModuleCall
    read: Sequence[Value]
    made: list[Value] = field(default_factory=list)
    wrote: Value | None = None
    path: str | None = None
    shape: tuple[int, ...] = ()
    dtype: str = ""
    size: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    weights: list[Weight] = field(default_factory=list)
    activation: Sketch | None = None
    statistics: dict[str, Any] = field(default_factory=dict)
    norm: NormCall | None = None
    number: int | None = None
    reads: list[int] = field(default_factory=list)
    slots: list[Slot] = field(default_factory=list)
    exits: list[Exit] = field(default_factory=list)

    @property
    def place(self) -> str:
        """The path of its module, or its own."""
        return self.module.path if self.path is None else self.path

    @property
    def has_positions(self) -> bool:
        """Whether positions of a sequence were compared in its output."""
        products = self.statistics.get("likeness")
        return products is not None and products.positions is not None

    @property
    def in_leaf(self) -> bool:
        """Whether its module has no others inside."""
        return self.path is None and not self.module.module._modules


class Invocation(NamedTuple):
    """A call as it ran. / given: its tensors, in order; read: their records, as they were."""

    function: TorchFunction
    args: Any
    kwargs: Any
    given: list[Tensor]
    read: list[Value]


@dataclass(eq=False)
class Checkpoint:
    """A reentrant checkpoint of the user's, whose inside the probe makes visible.

    Args:
        read: The tensors that it was given.
        trained: A parameter that requires a gradient is among them.
        calls: What ran inside.
        reads: Operations that it reads, once they are resolved.
        inside: Operations inside, once they are resolved.
    """

    read: list[Value]
    trained: bool
    calls: list[Call]
    reads: list[int] = field(default_factory=list)
    inside: set[int] = field(default_factory=set)
