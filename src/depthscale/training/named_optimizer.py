"""An optimizer from its name and settings: sgd:lr=.1,momentum=.9 -> a function that makes one."""

import ast
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor

from depthscale.errors import InvalidProbe

MakeOptimizer = Callable[[Sequence[Tensor]], torch.optim.Optimizer]


def named_optimizer(text: str) -> MakeOptimizer:
    """What makes an optimizer of torch.optim over tensors.

    Args:
        text: its name in any case, then its settings: "sgd:lr=.1,momentum=.9", "adamw:lr=3e-4",
            "adam:lr=1e-3,betas=(.9,.95)".

    Raises:
        InvalidProbe: for an unknown name, and for settings that are none.
    """
    name, _, settings = text.partition(":")
    known = _known()
    if name.lower() not in known:
        near = get_close_matches(name.lower(), known, 3) or sorted(known)
        raise InvalidProbe(
            f"torch.optim has no optimizer {name!r}; there is {', '.join(near)}. Of another "
            "library give a function of the parameters"
        )
    kind, values = known[name.lower()], _settings(text, settings)

    def make(tensors: Sequence[Tensor]) -> torch.optim.Optimizer:
        try:
            return kind(list(tensors), **values)
        except (TypeError, ValueError) as wrong:
            raise InvalidProbe(f"the optimizer {text!r} cannot be made: {wrong}") from None

    return make


def _known() -> dict[str, Any]:
    kinds = {name.lower(): kind for name, kind in vars(torch.optim).items()}
    base = torch.optim.Optimizer
    return {
        name: kind
        for name, kind in kinds.items()
        if isinstance(kind, type) and issubclass(kind, base) and kind is not base
    }


def _settings(text: str, settings: str) -> dict[str, Any]:
    try:
        call = ast.parse(f"f({settings})", mode="eval").body
        assert isinstance(call, ast.Call)
        assert not call.args
        return {str(each.arg): ast.literal_eval(each.value) for each in call.keywords}
    except (SyntaxError, ValueError, AssertionError):
        raise InvalidProbe(
            f"the settings of {text!r} are not name=value, one after the other by commas, as "
            "sgd:lr=.1,momentum=.9"
        ) from None
