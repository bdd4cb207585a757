"""A contrastive model begins a logarithm, its logit scale's, with 1 / 0.07 and not log(1 / 0.07).

exp(14.3) = 1.6 million multiplies the cosines: each row of the softmax is one-hot, and the loss
begins at 275,351 where chance has ln(32) = 3.5. log(1 / 0.07) helps.
Report: openai/CLIP, issue 46; huggingface/transformers, issue 13430; LAION-AI/CLAP, issue 57.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from troubles import Trouble

EXPECT = Trouble(
    kind="ends",
    rules=("logits-large",),
    where="logit_scale|exp|mul",
    words="logits",
    advice=r"log\b",
)


class Tower(nn.Module):
    def __init__(self, d_in, d=96, out=128, depth=4):
        super().__init__()
        self.first = nn.Linear(d_in, d)
        self.norms = nn.ModuleList(nn.LayerNorm(d) for _ in range(depth))
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, d)) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(d)
        self.project = nn.Linear(d, out, bias=False)

    def forward(self, x):
        x = self.first(x)
        for norm, block in zip(self.norms, self.blocks, strict=True):
            x = x + block(norm(x))
        return F.normalize(self.project(self.norm(x)), dim=-1)


class Pairs(nn.Module):
    def __init__(self, initial, d_in=64):
        super().__init__()
        self.audio, self.text = Tower(d_in), Tower(d_in)
        self.logit_scale = nn.Parameter(torch.tensor(initial))

    def forward(self, x):
        return self.logit_scale.exp() * self.audio(x[:, 0]) @ self.text(x[:, 1]).T


def loss(logits):
    labels = torch.arange(len(logits))
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2


def _make(initial):
    torch.manual_seed(0)
    return Pairs(initial), torch.randn(32, 2, 64), {"loss": loss}


def faulty():
    return _make(1 / 0.07)


def healthy():
    return _make(math.log(1 / 0.07))
