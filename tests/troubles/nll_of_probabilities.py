"""A text classifier ends in a softmax, under a loss that takes log-probabilities.

nll_loss averages -p: the loss lies between -1 and 0, has no logarithm in it, and its gradient is p
times the proper one. log_softmax helps.
Report: AnubhavGupta3377/Text-Classification-Models-Pytorch, issue 9; clvrai/ACGAN-PyTorch, pull
request 4. The loss begins at -1/8; where the model is sure and wrong, the gradient is 2.7e-11.
"""

import torch
from torch import nn
from torch.nn import functional as F

from troubles import Trouble

EXPECT = Trouble(
    kind="ends",
    rules=("loss-input",),
    where="softmax|squash|loss",
    words="log-?prob",
    advice="log_?softmax|cross_entropy",
)


class Classifier(nn.Module):
    def __init__(self, squash, d=64, depth=3, classes=8, length=20):
        super().__init__()
        self.embed = nn.Embedding(120, d)
        self.position = nn.Parameter(torch.randn(length, d) * 0.1)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(d, 4, 4 * d, 0.0, F.gelu, batch_first=True, norm_first=True)
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(d)
        self.head = nn.Linear(d, classes)
        self.squash = squash

    def forward(self, ids):
        x = self.embed(ids) + self.position
        for block in self.blocks:
            x = block(x)
        return self.squash(self.head(self.norm(x).mean(1)))


def _make(squash):
    torch.manual_seed(0)
    model, ids, labels = (
        Classifier(squash),
        torch.randint(0, 120, (48, 20)),
        torch.randint(0, 8, (48,)),
    )
    return model, ids, {"loss": lambda out: F.nll_loss(out, labels)}


def faulty():
    return _make(nn.Softmax(-1))


def healthy():
    return _make(nn.LogSoftmax(-1))
