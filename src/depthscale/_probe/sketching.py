"""Sketches of what a model works on, whatever kind of tensor it is."""

import torch
from torch import Tensor

from depthscale._probe import internals
from depthscale.errors import UnsupportedTensor
from depthscale.sketch import Sketch
from depthscale.sketch.counting import is_own_kind


def sketch_of(tensor: Tensor, log2_scale: int = 0) -> Sketch:
    """Sketch of a tensor's values: of a complex one its real and imaginary parts, of a nested one
    its parts, of a sparse one those that it stores. / raises: UnsupportedTensor."""
    if internals.is_wrapped(tensor):
        raise UnsupportedTensor(
            "it stands for others inside a torch.func transform; probe the model without the "
            "transform"
        )
    if tensor.is_nested:
        tensor = torch.cat([part.reshape(-1) for part in tensor.detach().unbind()])
    elif tensor.layout is not torch.strided:
        tensor = stored(tensor)
    return Sketch.of(
        torch.view_as_real(tensor.detach().resolve_conj()) if tensor.is_complex() else tensor,
        log2_scale,
    )


def stored(tensor: Tensor) -> Tensor:
    """The values that a tensor holds: of a sparse one, those that are not 0 by layout."""
    if tensor.layout is torch.strided:
        return tensor
    tensor = tensor.detach()
    if tensor.layout is torch.sparse_coo:
        return tensor.coalesce().values()
    return tensor.to_dense() if tensor.is_mkldnn else tensor.values()


def is_dense(tensor: Tensor) -> bool:
    """Whether a tensor has plain memory of its own, with strides."""
    return (
        tensor.layout is torch.strided
        and not tensor.is_nested
        and not is_own_kind(tensor)
        and not internals.is_wrapped(tensor)
    )


def dense(tensor: Tensor) -> Tensor:
    """The same values without a layout that leaves some out."""
    return tensor if tensor.layout is torch.strided else tensor.to_dense()


def shape_of(tensor: Tensor) -> tuple[int, ...]:
    """A tensor's shape; of a nested one, whose parts differ, their number."""
    return (tensor.size(0),) if tensor.is_nested else tuple(tensor.shape)
