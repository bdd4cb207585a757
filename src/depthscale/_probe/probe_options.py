"""ProbeOptions: what a probe was asked about one model."""

from dataclasses import dataclass
from math import log2
from typing import Any

import torch
from torch import Tensor

from depthscale._probe import outputs

MODES = ("train", "eval")


@dataclass(frozen=True)
class ProbeOptions:
    """What `probe` was asked about one model; its docstring tells of each."""

    model: Any
    inputs: Any
    loss: outputs.Loss
    mode: str | None
    params: bool
    output: str | None
    verify: bool
    norms: bool
    repeats: int
    seed: int
    loss_scale: float
    optimizer: torch.optim.Optimizer | None
    group: Any

    @property
    def optimized(self) -> set[int] | None:
        """Identities of what the user's optimizer moves, if one was given."""
        if self.optimizer is None:
            return None
        return {id(p) for group in self.optimizer.param_groups for p in group["params"]}

    @property
    def log2_scale(self) -> int:
        return int(log2(self.loss_scale))

    def set_mode(self) -> None:
        if self.mode is not None:
            self.model.train(self.mode == "train")

    def loss_of(self, returned: Any) -> Tensor:
        """What is differentiated: the chosen output, or the loss of all that the model returned."""
        target = outputs.chosen(returned, self.output)
        return outputs.scalar(self.loss(returned)) if callable(self.loss) else target
