"""A language model's head has weights of standard deviation 1.

Its logits have a standard deviation of about sqrt(512) = 22 where 1 is usual, and the loss begins
above 70 where chance has log(1000) = 6.9. Weights of variance 1/d help.
"""

import torch
from torch import nn
from torch.nn import functional as F

from troubles import Trouble

EXPECT = Trouble(
    kind="ends",
    rules=("logits-large",),
    where="head",
    words="head",
    advice="variance|scale",
)


class Model(nn.Module):
    def __init__(self, std, d=512, vocabulary=1000, depth=4):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, d)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(d, 8, 4 * d, 0.0, batch_first=True, norm_first=True)
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(d)
        self.head = nn.Linear(d, vocabulary, bias=False)
        nn.init.normal_(self.head.weight, std=std)

    def forward(self, ids):
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def loss(logits):
    target = torch.arange(logits.shape[0] * logits.shape[1]) % logits.shape[-1]
    return F.cross_entropy(logits.flatten(0, 1), target)


def _make(std):
    torch.manual_seed(0)
    return Model(std), torch.randint(0, 1000, (4, 32)), {"loss": loss}


def faulty():
    return _make(1.0)


def healthy():
    return _make(512**-0.5)
