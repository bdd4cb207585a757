"""A frozen embedding feeds blocks under reentrant gradient checkpointing.

The checkpoint looks at its inputs alone, and none of them needs a gradient, so that no weight of
`blocks` gets one. use_reentrant=False helps, as does an embedding output that requires a gradient.
"""

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from troubles import Trouble

EXPECT = Trouble(
    kind="moves",
    rules=("gradient-cut",),
    where="blocks",
    words="checkpoint",
    advice="reentrant|requires_grad",
)


class Net(nn.Module):
    def __init__(self, reentrant, d=64):
        super().__init__()
        self.embed = nn.Embedding(100, d)
        self.embed.requires_grad_(False)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(d), nn.Linear(d, d), nn.GELU(), nn.Linear(d, d))
            for _ in range(4)
        )
        self.head = nn.Linear(d, 100)
        self.reentrant = reentrant

    def forward(self, ids):
        x = self.embed(ids)
        for block in self.blocks:
            x = x + checkpoint(block, x, use_reentrant=self.reentrant)
        return self.head(x)


def _make(reentrant):
    torch.manual_seed(0)
    return Net(reentrant), torch.randint(0, 100, (8, 16))


def faulty():
    return _make(True)


def healthy():
    return _make(False)
