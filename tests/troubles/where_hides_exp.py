"""A hand-written ELU in float16 is where(z > 0, z, exp(z) - 1).

exp of a large z is infinite. `where` drops it forward, but backward the branch that was not taken
gives 0 * inf = NaN, first in module 7. exp(z.clamp(max=0)) helps; a wider type only moves the
limit.
Report: pytorch/pytorch, issue 68425. All outputs are finite, 8 of 12 parameters have NaN gradients.
"""

import torch
from torch import nn

from troubles import Trouble

EXPECT = Trouble(
    kind="numbers",
    rules=("gradient-not-finite",),
    where=r"\bexp|where",
    words=r"\bexp\b|exponential",
    advice="where|clamp",
)


class HandELU(nn.Module):
    def __init__(self, safe):
        super().__init__()
        self.safe = safe

    def forward(self, z):
        negative = z.clamp(max=0) if self.safe else z
        return torch.where(z > 0, z, torch.exp(negative) - 1)


def _make(safe):
    torch.manual_seed(0)
    layers, width = [], 40  # 40 log-mel energies, of RMS 4
    for _ in range(5):
        linear = nn.Linear(width, 128)
        nn.init.normal_(linear.weight, std=(1.3 / width) ** 0.5)
        nn.init.zeros_(linear.bias)
        layers += [linear, HandELU(safe)]
        width = 128
    model = nn.Sequential(*layers, nn.Linear(width, 10)).half()
    return model, (torch.randn(64, 40) * 4).half(), {"loss": loss}


def loss(out):
    return nn.functional.cross_entropy(out.float(), torch.arange(out.shape[0]) % out.shape[1])


def faulty():
    return _make(False)


def healthy():
    return _make(True)
