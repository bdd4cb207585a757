"""An encoder in float16 divides its vectors by norm + 1e-8, and those of padding are 0.

float16 has no 1e-8, so that 0 / 0 in `normalize` is NaN, which the mask behind it does not take
away. An epsilon of 1e-3 helps.
Report: lightonai/pylate, issue 239; pytorch/pytorch, issue 32137. 28 of 32 outputs and all
gradients are NaN, in float32 none.
"""

import torch
from torch import nn
from torch.nn import functional as F

from troubles import Trouble

EXPECT = Trouble(
    kind="numbers",
    rules=("activation-not-finite",),
    where="normalize|div",
    words=r"\beps",
    advice=r"\beps",
)


class Normalize(nn.Module):
    def __init__(self, epsilon):
        super().__init__()
        self.epsilon = epsilon

    def forward(self, x):
        return x / (x.norm(dim=-1, keepdim=True) + self.epsilon)


class Encoder(nn.Module):
    def __init__(self, epsilon, d=96, depth=3):
        super().__init__()
        self.embed = nn.Embedding(300, d, padding_idx=0)
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.Linear(d, 2 * d, bias=False), nn.GELU(), nn.Linear(2 * d, d, bias=False)
            )
            for _ in range(depth)
        )
        self.normalize = Normalize(epsilon)
        self.head = nn.Linear(d, 12)

    def forward(self, ids):
        x = self.embed(ids)
        for layer in self.layers:
            x = x + layer(x)
        x = self.normalize(x) * x.shape[-1] ** 0.5
        mask = (ids != 0)[..., None].to(x.dtype)
        return self.head((x * mask).sum(1) / mask.sum(1))


def _make(epsilon):
    torch.manual_seed(0)
    model, ids, labels = (
        Encoder(epsilon).half(),
        torch.randint(1, 100, (32, 16)),
        torch.randint(0, 12, (32,)),
    )
    ids[4:, 12:] = 0
    return (
        model,
        ids,
        {"loss": lambda out: F.cross_entropy(out.float(), labels), "loss_scale": 1024.0},
    )


def faulty():
    return _make(1e-8)


def healthy():
    return _make(1e-3)
