"""A T5-like stack in float16 has an RMS norm that squares values beyond 256.

The square (`blocks.*.norm`) is infinite, rsqrt makes 0 of that, and the norm silently returns 0. In
block 7 it does so for all tokens: the outputs are 0, the loss is exactly ln(100), and no parameter
gets a gradient. The same weights in bfloat16 are well.
Report: pytorch/pytorch, pull request 133085; ROCm/AMDMIGraphX, issue 2556.
"""

import torch
from torch import nn
from torch.nn import functional as F

from troubles import Trouble

EXPECT = Trouble(
    kind="numbers",
    rules=("activation-not-finite",),
    where="norm.*pow",
    words="float16|65,?504",
    advice="float32|bfloat16",
)


class RMSNorm(nn.Module):
    def __init__(self, d, eps=1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d))
        self.eps = eps

    def forward(self, x):
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps))


class Block(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.norm = RMSNorm(d)
        self.wi = nn.Linear(d, 4 * d, bias=False)
        self.wo = nn.Linear(4 * d, d, bias=False)
        nn.init.normal_(self.wi.weight, std=d**-0.5)
        nn.init.normal_(
            self.wo.weight, std=60 * (2 / (4 * d)) ** 0.5
        )  # a checkpoint whose residual stream is large

    def forward(self, x):
        return x + self.wo(F.relu(self.wi(self.norm(x))))


class Net(nn.Module):
    def __init__(self, d=64, vocabulary=100):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, d)
        nn.init.normal_(self.embed.weight, std=40.0)
        self.blocks = nn.ModuleList(Block(d) for _ in range(8))
        self.norm = RMSNorm(d)
        self.head = nn.Linear(d, vocabulary, bias=False)

    def forward(self, ids):
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def loss(logits):
    target = torch.arange(logits.shape[0] * logits.shape[1]) % logits.shape[-1]
    return F.cross_entropy(logits.float().flatten(0, 1), target)


def _make(kind):
    torch.manual_seed(0)
    return Net().to(kind), torch.randint(0, 100, (16, 8)), {"loss": loss}


def faulty():
    return _make(torch.float16)


def healthy():
    return _make(torch.bfloat16)
