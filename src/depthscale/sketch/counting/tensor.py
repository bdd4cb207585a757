"""The tally of any tensor, and the tensors that have none."""

from collections.abc import Callable

import torch
from torch import Tensor

from depthscale.errors import UnsupportedTensor
from depthscale.sketch.counting import cpu, device
from depthscale.sketch.tally import Tally

_COUNTED = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_dispatch = getattr(Tensor, "__torch_dispatch__")  # noqa: B009 (pyright does not know it)
_PLAIN_DEVICES = ("cpu", "mps")  # counted by the CPU loop; mps has no float64 to sum in


def tally_of(tensor: Tensor, log2_scale: int = 0) -> Tally | Callable[[], Tally]:
    """What `Sketch.of` counts; of a tensor on a device what waits for its tally."""
    _require_countable(tensor)
    where = tensor.device.type
    if where in _PLAIN_DEVICES:
        return cpu.tally(tensor if where == "cpu" else tensor.cpu()).scaled(log2_scale)
    pending = device.count(tensor)
    return lambda: device.read(pending).scaled(log2_scale)


def is_own_kind(tensor: Tensor) -> bool:
    """Whether a tensor's class computes for itself, as a wrapper of several others does, and has no
    plain memory."""
    return getattr(type(tensor), "__torch_dispatch__", _dispatch) is not _dispatch


def _require_countable(tensor: Tensor) -> None:
    if not isinstance(tensor, Tensor):
        raise UnsupportedTensor(
            f"a sketch is made of a torch tensor, got {type(tensor).__name__}; wrap it with "
            "torch.as_tensor"
        )
    if tensor.dtype not in _COUNTED:
        advice = _conversion(tensor)
        raise UnsupportedTensor(
            f"a sketch counts float16, bfloat16, float32 or float64, got {tensor.dtype}; {advice}"
        )
    if tensor.is_nested:
        raise UnsupportedTensor(
            "a sketch counts a dense tensor, got a nested one; add up the sketches of .unbind()"
        )
    if tensor.layout is not torch.strided:
        raise UnsupportedTensor(
            f"a sketch counts a dense tensor, got layout {tensor.layout}; convert it with "
            ".to_dense()"
        )
    if tensor.device.type in _PLAIN_DEVICES and is_own_kind(tensor):
        raise UnsupportedTensor(
            f"a sketch reads plain memory, which a {type(tensor).__name__} has not; give it the "
            "tensors inside"
        )
    if tensor.is_meta:
        raise UnsupportedTensor(
            "a tensor on the meta device has no values to count; move the model to a real device"
        )


def _conversion(tensor: Tensor) -> str:
    if tensor.is_complex():
        return "take .real and .imag, or .abs()"
    if tensor.is_quantized:
        return "convert it with .dequantize()"
    return "convert it with .float() if it holds quantities"
