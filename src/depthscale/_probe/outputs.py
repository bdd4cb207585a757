"""What of a model's output is differentiated, and by what cotangent."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from depthscale.errors import InvalidProbe

LOSSES = ("independent", "shared")
_USUAL = ("logits", "last_hidden_state", "sample", "prediction_logits")
Loss = str | Callable[..., Tensor]


def chosen(output: Any, name: str | None) -> Tensor:
    """The tensor that is differentiated: the named one, or the output, its logits, its last hidden
    state, its first tensor."""
    if name is not None:
        return _named(output, name)
    if isinstance(output, Tensor):
        return _floating(output)
    for usual in _USUAL:
        found = _member(output, usual)
        if isinstance(found, Tensor):
            return _floating(found)
    tensors = [t for t in leaves(output) if t.is_floating_point() or t.is_complex()]
    first = next((t for t in tensors if t.requires_grad), tensors[0] if tensors else None)
    if first is None:
        raise InvalidProbe(
            f"the model's output ({type(output).__name__}) holds no floating tensor to "
            "differentiate"
        )
    return first


def _floating(tensor: Tensor) -> Tensor:
    if tensor.is_nested:
        raise InvalidProbe(
            "the model's output is a nested tensor; return it padded (.to_padded_tensor), or its "
            ".values()"
        )
    if not (tensor.is_floating_point() or tensor.is_complex()):
        raise InvalidProbe(
            f"the model's output is {tensor.dtype}, which has no gradient; name a floating one "
            "with output="
        )
    return tensor


def _named(output: Any, name: str) -> Tensor:
    found: Any = output
    for part in name.split("."):
        found = _member(found, part)
        if found is None:
            there = _members(output)
            raise InvalidProbe(
                f"the model's output has no {name!r}; it has {', '.join(there) or 'no named parts'}"
            )
    if not isinstance(found, Tensor):
        raise InvalidProbe(
            f"{name!r} of the model's output is a {type(found).__name__}; name a tensor in it"
        )
    return _floating(found)


def _member(output: Any, part: str) -> Any:
    if isinstance(output, Mapping):
        return output.get(part)
    if isinstance(output, list | tuple) and part.isdigit():
        return output[int(part)] if int(part) < len(output) else None
    return None if isinstance(output, Tensor) else getattr(output, part, None)


def _members(output: Any) -> list[str]:
    if isinstance(output, Mapping):
        return [str(key) for key in output]
    if is_dataclass(output):
        return [f.name for f in fields(output)]
    return [str(i) for i in range(len(output))] if isinstance(output, list | tuple) else []


def leaves(output: Any) -> Iterator[Tensor]:
    """Every tensor in nested tuples, lists, mappings and dataclasses, in order."""
    return (tensor for _, tensor in named_leaves(output))


def named_leaves(output: Any, path: str = "") -> Iterator[tuple[str, Tensor]]:
    """The same by name, as `output=` takes it: of the second in a tuple's first part "0.1"."""
    if isinstance(output, Tensor):
        yield path, output
        return
    if isinstance(output, Mapping):
        inside: Any = output.items()
    elif isinstance(output, list | tuple):
        inside = enumerate(output)
    else:
        inside = (
            ((f.name, getattr(output, f.name)) for f in fields(output))
            if is_dataclass(output)
            else ()
        )
    for name, value in inside:
        yield from named_leaves(value, f"{path}.{name}" if path else str(name))


def scalar(loss: Any) -> Tensor:
    """A loss, as it is. / raises: InvalidProbe for what is not one number."""
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        shape = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
        raise InvalidProbe(
            f"loss= must return one number, as a tensor, got {shape}; sum or average it"
        )
    return loss


def why_nothing(inputs: Sequence[Tensor], parameters: Sequence[Tensor], picks: str) -> str:
    """Why autograd follows nothing to an output. / picks: the function that took the last index or
    comparison, if any did."""
    if parameters and not any(t.requires_grad for t in (*inputs, *parameters)):
        return (
            "the inputs are integers, and every parameter has requires_grad=False, so autograd "
            "follows nothing; call model.requires_grad_(True) for the probe, or give floating "
            "inputs (as inputs_embeds=)"
        )
    end = (
        f"; it ends behind {picks}, an index or a comparison, which has no gradient"
        if picks
        else " (is the forward pass under no_grad, or detached at its end?)"
    )
    return (
        "the output does not depend on the inputs or embeddings through anything that autograd "
        f"follows{end}"
    )


def kind_of(loss: Loss, target: Tensor) -> str:
    """How a trace names the loss. / raises: InvalidProbe for an unknown one."""
    if callable(loss):
        return "callable"
    if loss not in LOSSES:
        raise InvalidProbe(
            f"loss must be one of {', '.join(LOSSES)}, or a function of the output, got {loss!r}"
        )
    return "output" if target.dim() == 0 else loss


def cotangent(loss: str, target: Tensor, generator: torch.Generator, scale: float) -> Tensor:
    """dE/d(target), for one seed the same in every precision. / loss: "independent": standard
    normal for every value; "shared": one draw for all samples of the first axis, E = sum_t w . x_t;
    "output", "callable": the target is the loss, 1."""
    if loss in ("output", "callable"):
        return torch.full_like(target, scale)
    shape = target.shape if loss == "independent" or target.dim() < 2 else target.shape[1:]
    dtype = torch.complex64 if target.is_complex() else torch.float32
    drawn = torch.randn(shape, generator=generator, dtype=dtype, device="cpu")
    drawn = drawn.to(target.device, torch.promote_types(dtype, target.dtype))
    return (drawn if scale == 1 else drawn * scale).to(target.dtype).expand(target.shape)
