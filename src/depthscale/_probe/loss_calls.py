"""What a loss function was given beside what it judges: facts of its labels or targets."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from depthscale._probe.calls import TorchFunction
from depthscale.network import torch_calls


def target_facts(loss: str, args: Any, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Of a loss' target, as plain settings.

    Args:
        loss: The function's name.
        args, kwargs: What it was given.

    Returns:
        Of labels the classes that there are, the lowest, the highest, how many and how many
        different ones; of numbers their RMS and the least.
    """
    given = dict(zip(("input", "target", "weight"), args, strict=False)) | dict(kwargs)
    output, target = given.get("input"), given.get("target")
    if not isinstance(output, Tensor) or not isinstance(target, Tensor) or not target.numel():
        return {}
    weights = (given.get(name) for name in ("weight", "pos_weight"))
    facts = {
        "reduction": given.get("reduction", "mean"),
        "weighted": any(isinstance(each, Tensor) for each in weights),
        "constant": not output.requires_grad,  # the target is what is trained
    }
    with torch.no_grad():
        if target.is_floating_point():
            return facts | _of_numbers(loss, output, target)
        labels = target[target != given.get("ignore_index", -100)]
        return facts | _of_labels(loss, output, labels)


def _of_numbers(loss: str, output: Tensor, target: Tensor) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if torch_calls.has_classes(loss) and output.dim() > 1:  # probabilities of them
        facts["classes"] = output.shape[1]
    if _crosses(output, target):
        facts["broadcast"] = (tuple(output.shape), tuple(target.shape))
    rms, least = float(target.float().square().mean().sqrt()), float(target.min())
    return facts | ({"target_rms": rms, "target_least": least} if isfinite(rms) else {})


def _of_labels(loss: str, output: Tensor, labels: Tensor) -> dict[str, Any]:
    if not labels.numel():
        return {"labels": 0}
    facts: dict[str, Any] = {
        "classes": output.shape[1] if output.dim() > 1 else output.shape[0],
        "lowest": int(labels.min()),
        "highest": int(labels.max()),
        "labels": labels.numel(),
        "distinct": len(labels.unique()),
        "samples": output.shape[0],
    }
    if torch_calls.judged_by(loss) is torch_calls.Judged.LOGARITHMS:
        facts["probability"] = _whole(output)
    return facts


def _crosses(output: Tensor, target: Tensor) -> bool:
    """Whether every sample of an output is broadcast against every sample of a target."""
    a, b = output.shape, target.shape
    if len(a) == len(b) or not (a and b) or a[0] != b[0] or a[0] == 1:
        return False
    return torch.broadcast_shapes(a, b).numel() > max(a.numel(), b.numel())


def _whole(output: Tensor) -> float:
    """What the probabilities of a sample add up to, whose logarithms these are: the sum farthest
    from 1 among some."""
    if not output.is_floating_point() or output.dim() < 2:
        return 1.0
    sums = output.detach()[:64].double().exp().sum(1).flatten()
    return float(sums[(sums - 1).abs().argmax()]) if sums.numel() else 1.0


def judged(loss: TorchFunction, args: Any, kwargs: Mapping[str, Any]) -> Any:
    """What a loss returns; where it refuses its labels, with a note of why."""
    try:
        return loss.function(*args, **kwargs)
    except (IndexError, RuntimeError) as refused:
        if why := _why_refused(target_facts(loss.name, args, kwargs)):
            refused.add_note(why)
        raise


def _why_refused(facts: Mapping[str, Any]) -> str:
    """Why a loss refuses its labels, where it is that they are none of the classes."""
    classes, low, high = (facts.get(name) for name in ("classes", "lowest", "highest"))
    if classes is None or low is None or high is None or (low >= 0 and high < classes):
        return ""
    return (
        f"the labels go from {low} to {high}, and the loss was given {classes} classes: they must "
        f"go from 0 to {classes - 1}"
    )
