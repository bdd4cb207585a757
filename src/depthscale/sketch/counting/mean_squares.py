"""Second moments alone, where the whole distribution is not asked for."""

import torch
from torch import Tensor

from depthscale.sketch.counting import kernels
from depthscale.sketch.counting.cpu import float32_array


def mean_square(values: Tensor) -> float | Tensor:
    """Mean of |v|^2, 0 where there is none; of a tensor on a device one there, which nothing here
    waits for.

    values: floating or complex, dense. / error: on the CPU (count + 1) 2^-53, relative; else
    float32's of a norm.
    """
    if (array := float32_array(values)) is not None:
        return kernels.sums(array.reshape(-1))[1] / max(array.size, 1)
    values, count = values.detach().resolve_neg(), max(values.numel(), 1)
    if values.device.type == "cpu" and values.dtype in (torch.float32, torch.float64):
        return kernels.sums(values.contiguous().view(-1).numpy())[1] / count
    if values.element_size() == 1:  # float8 takes part in nothing
        values = values.float()
    norm = torch.linalg.vector_norm(values, dtype=torch.promote_types(values.dtype, torch.float32))
    return norm.double() ** 2 / count
