"""A model's parameters in one run: their mean squares where operations read them, and, if asked
for, sketches of values and gradients."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node

from depthscale._probe import internals
from depthscale._probe.modules import ModuleCall
from depthscale._probe.sketching import dense, is_dense, shape_of, sketch_of, stored
from depthscale._probe.tree import Tree
from depthscale.errors import UnsupportedTensor
from depthscale.run import Fate, NotSeen, TracedParameter, Turn
from depthscale.sketch import Sketch
from depthscale.sketch.counting import float32_array, is_own_kind, mean_square

_COMPARED = 8  # values, by which two parameters may be the same

Weight = tuple[str, tuple[int, ...], float | Tensor]  # name, shape, mean square


class Parameters:
    """Each is read once, when an operation has just brought it near, and again only after it was
    written to."""

    def __init__(self, tree: Tree, log2_scale: int, *, sketched: bool, kept: bool):
        """sketched: whether values and gradients are counted; kept: whether autograd hands the
        gradients over whole."""
        self._tree, self._log2_scale, self._sketched, self.kept = tree, log2_scale, sketched, kept
        self._names = {id(tensor): name for name, tensor in tree.tensors}
        self._adopted: set[int] = set()
        self._mean_squares: dict[tuple[int, int], float | Tensor] = {}
        self._values: dict[tuple[int, int], Sketch] = {}
        self._gradients: dict[str, list[Sketch]] = defaultdict(list)
        self.not_seen: list[NotSeen] = []
        self.derived: set[int] = set()  # of which others are made: their gradients are asked for
        self._pass: int | None = None  # autograd's number of the probe's own
        self._taken: set[str] = set()  # names of those whose gradient has been counted in it

    @cached_property
    def differentiated(self) -> list[tuple[str, nn.Parameter]]:
        """Whose gradients are asked for; read after the forward pass, which may change what
        requires one."""
        every = self._sketched or self.kept
        return [
            (name, p)
            for name, p in self._tree.parameters
            if p.requires_grad and (every or id(p) in self.derived)
        ]

    @property
    def all(self) -> list[nn.Parameter]:
        return [p for _, p in self._tree.parameters]

    @property
    def buffers(self) -> list[Tensor]:
        return [b for _, b in self._tree.buffers]

    def adopts(self, tensor: Tensor, caller: ModuleCall) -> bool:
        """Whether a tensor stands for a parameter of the module that runs, as FSDP puts the whole
        in the place of this rank's share."""
        if not isinstance(tensor, nn.Parameter) or id(tensor) in self._names:
            return False
        own = caller.module._parameters.items()
        name = next((name for name, p in own if p is tensor), None)
        if name is not None:
            self._names[id(tensor)] = f"{caller.path}.{name}".lstrip(".")
            self._adopted.add(id(tensor))
        return name is not None

    def weight(self, tensor: Tensor) -> Weight:
        """Name, shape and mean square of what goes into an operation beside the signal; made of
        parameters, it has no name."""
        name, now = self._names.get(id(tensor), ""), _now(tensor)
        if not name or now not in self._mean_squares:
            look = self._mean_square if id(tensor) not in self._adopted else _lent_mean_square
            self._mean_squares[now] = look(tensor)
        return name, shape_of(tensor), self._mean_squares[now]

    def _mean_square(self, tensor: Tensor) -> float | Tensor:
        if (
            self._sketched
            and isinstance(tensor, nn.Parameter)
            and float32_array(tensor) is not None
        ):
            sketch = self._value(tensor)
            if sketch.finite == sketch.count > 0:
                return sketch.mean_square()
        values = stored(tensor)
        return mean_square(values) * (values.numel() / max(tensor.numel(), 1))

    def _value(self, parameter: Tensor) -> Sketch:
        now = _now(parameter)
        if now not in self._values:
            self._values[now] = sketch_of(parameter)
        return self._values[now]

    @contextmanager
    def watched(self, root: Node) -> Iterator[None]:
        """For one backward pass from a root: each differentiated parameter's whole gradient is seen
        as it is made, and by no hook of the user's. Other passes, as of other threads or inside a
        custom Function's backward, are not looked at."""
        self._pass, self._taken = None, set()
        handle = root.register_prehook(self._begin)
        zeros = {
            (p.dtype, p.device): torch.zeros((), dtype=p.dtype, device=p.device)
            for _, p in self.differentiated
        }
        hooks = [
            (p, self._hook(name, p, zeros[p.dtype, p.device]) if self._counts(p) else None)
            for name, p in self.differentiated
        ]
        try:
            with internals.only_hooks((p, hook) for p, hook in hooks if p.is_leaf):
                yield
        finally:
            handle.remove()

    def _counts(self, parameter: Tensor) -> bool:
        return self._sketched or id(parameter) in self.derived

    def _begin(self, gradients: object) -> None:
        if self._pass is None:
            self._pass = internals.running_pass()

    def _hook(
        self, name: str, parameter: Tensor, zero: Tensor
    ) -> Callable[[Tensor | None], Tensor | None]:
        """Counts a gradient as soon as it is whole, and returns what autograd keeps of it until the
        end: zeros of no size, made before the pass, lest they lie behind the gradient's memory and
        keep that from being used again."""
        nothing = zero.expand(parameter.shape) if is_dense(parameter) and not self.kept else None

        def hook(gradient: Tensor | None) -> Tensor | None:
            if gradient is None or internals.running_pass() != self._pass:
                return None
            self._take(name, gradient)
            if (
                nothing is None
                or not is_dense(gradient)
                or gradient.shape != nothing.shape
                or gradient.dtype != nothing.dtype
            ):
                return None
            return nothing

        return hook

    def take(self, gradients: Iterable[Tensor | None]) -> None:
        """What autograd hands over at the end, of the differentiated parameters: those count that
        no hook has seen."""
        for (name, p), gradient in zip(self.differentiated, gradients, strict=True):
            if self._counts(p) and gradient is not None and name not in self._taken:
                self._take(name, gradient)

    def _take(self, name: str, gradient: Tensor) -> None:
        self._taken.add(name)
        try:
            self._gradients[name].append(sketch_of(dense(gradient), self._log2_scale))
        except UnsupportedTensor as refused:
            self.not_seen.append(NotSeen(name, f"its gradient: {refused}"))

    @property
    def gradients(self) -> dict[str, Sketch]:
        """Of those whose gradients were counted, over all repeats."""
        return {name: sum(each[1:], each[0]) for name, each in self._gradients.items() if each}

    def traced(
        self,
        fates: Mapping[str, Fate],
        hidden: Mapping[str, Tensor],
        turns: Mapping[str, Turn],
    ) -> tuple[TracedParameter, ...]:
        """Every parameter, with its values and gradient if they were asked for and can be counted.

        Args:
            fates: What becomes of each, by name.
            hidden: Those that are not registered, by name.
            turns: What the optimizer does to each, by name.
        """
        gradients = self.gradients if self._sketched else {}
        registered = dict(self._tree.parameters)
        tensors = {**hidden, **registered}
        counted, copies = registered if self._sketched else {}, _copies(registered)
        return tuple(
            TracedParameter(
                name,
                shape_of(tensors[name]),
                self._counted(name, counted[name]) if name in counted else None,
                gradients.get(name),
                fate,
                copies.get(name, ""),
                turns.get(name),
            )
            for name, fate in fates.items()
        )

    def _counted(self, name: str, parameter: Tensor) -> Sketch | None:
        try:
            return self._value(parameter)
        except UnsupportedTensor as refused:
            self.not_seen.append(NotSeen(name, f"its values: {refused}"))
            return None


def _lent_mean_square(tensor: Tensor) -> float | Tensor:
    """Of memory that is going to be resized, as none is that numpy has looked at."""
    wide = torch.float64 if tensor.device.type == "cpu" else torch.float32
    square = torch.linalg.vector_norm(tensor.detach(), dtype=wide) ** 2 / max(tensor.numel(), 1)
    return float(square) if tensor.device.type == "cpu" else square


def _copies(parameters: Mapping[str, Tensor]) -> dict[str, str]:
    """Which parameters have the values of an earlier one, by name; those of one value alone are
    left out."""
    first: dict[tuple[object, ...], list[str]] = defaultdict(list)
    found: dict[str, str] = {}
    for name, p in parameters.items():
        if p.dim() < 2 or not is_dense(p) or internals.is_wrapped(p) or is_own_kind(p):
            continue
        begins = tuple(p.detach().flatten()[:_COMPARED].tolist())
        if len(set(begins)) < 2:
            continue
        key = (shape_of(p), p.dtype, begins)
        same = next((n for n in first[key] if torch.equal(parameters[n], p)), None)
        if same is None:
            first[key].append(name)
        else:
            found[name] = same
    return found


def _now(tensor: Tensor) -> tuple[int, int]:
    """A tensor and what is written in it by now."""
    return id(tensor), internals.version(tensor)
