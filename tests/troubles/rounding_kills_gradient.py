"""A fake quantizer rounds weights and activations without a straight-through estimate.

The slope of `round` is 0, so nothing in or before the last quantized layer gets a gradient. The
estimate x + (round(x) - x).detach() helps.
"""

import torch
from torch import nn
from torch.nn import functional as F

from troubles import Trouble

EXPECT = Trouble(
    kind="moves",
    rules=("gradient-deleted",),
    where="round",
    words="round",
    advice="straight",
)


class Quantized(nn.Module):
    def __init__(self, d, through):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(d, d) * (2 / d) ** 0.5)
        self.through = through

    def fake(self, t):
        step = t.detach().abs().max() / 127
        q = torch.round(t / step) * step
        return t + (q - t).detach() if self.through else q

    def forward(self, x):
        return F.linear(self.fake(x), self.fake(self.weight)).relu()


def _make(through):
    torch.manual_seed(0)
    model = nn.Sequential(*(Quantized(128, through) for _ in range(6)), nn.Linear(128, 10))
    return model, torch.randn(64, 128)


def faulty():
    return _make(False)


def healthy():
    return _make(True)
