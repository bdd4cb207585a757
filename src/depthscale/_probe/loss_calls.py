"""What a loss function was given beside what it judges: facts of its labels or targets."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

import torch
from torch import Tensor


def target_facts(args: Any, kwargs: Mapping[str, Any], has_classes: bool = False) -> dict[str, Any]:
    """Of a loss' target: of labels the classes that there are, the lowest, the highest, how many
    and how many different ones; of numbers their RMS."""
    given = dict(zip(("input", "target"), args, strict=False)) | dict(kwargs)
    judged, target = given.get("input"), given.get("target")
    if not isinstance(judged, Tensor) or not isinstance(target, Tensor) or not target.numel():
        return {}
    with torch.no_grad():
        weights = (given.get(name) for name in ("weight", "pos_weight"))
        reduction = {
            "reduction": given.get("reduction", "mean"),
            "weighted": any(each is not None for each in weights),
        }
        if not judged.requires_grad:  # the target is what is trained
            reduction["constant"] = True
        if target.is_floating_point() and _crosses(judged, target):
            reduction["broadcast"] = (tuple(judged.shape), tuple(target.shape))
        if target.is_floating_point():
            rms = float(target.float().square().mean().sqrt())
            if has_classes and judged.dim() > 1:  # probabilities of them
                reduction["classes"] = judged.shape[1]
            least = float(target.min())
            return reduction | ({"target_rms": rms, "target_least": least} if isfinite(rms) else {})
        ignored = given.get("ignore_index", -100)
        labels = target[target != ignored]
        if not labels.numel():
            return reduction | {"labels": 0}
        return reduction | {
            "classes": judged.shape[1] if judged.dim() > 1 else judged.shape[0],
            "lowest": int(labels.min()),
            "highest": int(labels.max()),
            "labels": labels.numel(),
            "distinct": len(labels.unique()),
            "samples": judged.shape[0],
            "probability": _whole(judged),
        }


def _crosses(judged: Tensor, target: Tensor) -> bool:
    """Whether every sample of an output is broadcast against every sample of a target."""
    a, b = judged.shape, target.shape
    if len(a) == len(b) or not (a and b) or a[0] != b[0] or a[0] == 1:
        return False
    return torch.broadcast_shapes(a, b).numel() > max(a.numel(), b.numel())


def _whole(judged: Tensor) -> float:
    """What probabilities of a sample add up to, if logarithms are what is judged: the sum farthest
    from 1 among some."""
    if not judged.is_floating_point() or judged.dim() < 2:
        return 1.0
    sums = judged.detach()[:64].double().exp().sum(1).flatten()
    return float(sums[(sums - 1).abs().argmax()]) if sums.numel() else 1.0


def refused_labels(args: Any, kwargs: Mapping[str, Any]) -> str:
    """Why a loss refuses its labels, where it is that they are none of the classes."""
    facts = target_facts(args, kwargs)
    classes, low, high = (facts.get(name) for name in ("classes", "lowest", "highest"))
    if classes is None or low is None or high is None or (low >= 0 and high < classes):
        return ""
    return (
        f"the labels go from {low} to {high}, and the loss was given {classes} classes: they must "
        f"go from 0 to {classes - 1}"
    )
