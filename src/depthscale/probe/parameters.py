"""A model's parameters in one run: their mean squares where operations read them, and, if asked for, sketches of values and
gradients."""

from collections import defaultdict
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from depthscale.errors import UnsupportedTensor
from depthscale.probe import internals
from depthscale.probe.sketching import sketch_of, stored
from depthscale.probe.tree import Tree
from depthscale.sketch import Sketch
from depthscale.sketch.cpu import float32_array
from depthscale.sketch.moments import mean_square
from depthscale.trace import NotSeen, TracedParameter

Weight = tuple[str, tuple[int, ...], float | Tensor]  # name, shape, mean square


class Parameters:
    """Each is read once, when an operation has just brought it near, and again only after it was written to."""

    def __init__(self, tree: Tree, sketched: bool, log2_scale: int, keep: bool):
        """sketched: whether values and gradients are counted; keep: whether autograd is to hand over gradients that were."""
        self._tree, self._sketched, self._log2_scale, self._keep = tree, sketched, log2_scale, keep
        self._names = {id(tensor): name for name, tensor in tree.tensors}
        self._mean_squares: dict[tuple[int, int], float | Tensor] = {}
        self._values: dict[tuple[int, int], Sketch] = {}
        self._gradients: dict[str, list[Sketch]] = defaultdict(list)
        self.not_seen: list[NotSeen] = []

    def __contains__(self, tensor: Tensor) -> bool:
        """Whether a tensor is a parameter or a buffer, which no input changes."""
        return id(tensor) in self._names

    def weight(self, tensor: Tensor) -> Weight:
        """Name, shape and mean square of what goes into an operation beside the signal; made of parameters, it has no name."""
        name, now = self._names.get(id(tensor), ""), _now(tensor)
        if not name or now not in self._mean_squares:
            self._mean_squares[now] = self._mean_square(tensor)
        return name, tuple(tensor.shape), self._mean_squares[now]

    def _mean_square(self, tensor: Tensor) -> float | Tensor:
        if self._sketched and isinstance(tensor, nn.Parameter) and float32_array(tensor) is not None:
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

    @property
    def trained(self) -> list[tuple[str, nn.Parameter]]:
        return [(name, p) for name, p in self._tree.parameters if p.requires_grad]

    def hooks(self) -> list[tuple[Tensor, Callable[[Tensor], Tensor | None] | None]]:
        """What is to be called with the whole gradient of each parameter that is trained."""
        if not self._sketched:
            return [(p, None) for _, p in self.trained]
        zeros = {(p.dtype, p.device): torch.zeros((), dtype=p.dtype, device=p.device) for _, p in self.trained}
        return [(p, partial(self._take, name, zeros[p.dtype, p.device].expand(p.shape))) for name, p in self.trained]

    def _take(self, name: str, nothing: Tensor, gradient: Tensor) -> Tensor | None:
        """Count a gradient as soon as it is whole. / returns: what autograd keeps of it until the end, a single 0: it was made
        before the pass, lest it lies behind the gradient's memory and keeps that from being used again."""
        dense = gradient if gradient.layout is torch.strided else gradient.to_dense()
        self._gradients[name].append(sketch_of(dense, self._log2_scale))
        return None if self._keep or gradient is not dense else nothing

    def traced(self) -> tuple[TracedParameter, ...]:
        """Every parameter that can be counted, if they are asked for."""
        found: list[TracedParameter] = []
        for name, p in self._tree.parameters if self._sketched else []:
            try:
                gradient = sum(given[1:], given[0]) if (given := self._gradients.get(name)) else None
                found.append(TracedParameter(name, tuple(p.shape), self._value(p), gradient))
            except UnsupportedTensor as refused:
                self.not_seen.append(NotSeen(name, f"its values: {refused}"))
        return tuple(found)


def _now(tensor: Tensor) -> tuple[int, int]:
    """A tensor and what is written in it by now."""
    return id(tensor), internals.version(tensor)
