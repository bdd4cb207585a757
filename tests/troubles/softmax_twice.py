"""A classifier of 1,000 classes ends in a softmax, under a cross entropy that takes logits.

The softmax squeezes all outputs to about 1/1000 and makes the gradient that passes it 400 times
smaller, so that learning is very slow. A model that returns logits helps.
"""

import torch
from torch import nn
from torch.nn import functional as F

from troubles import Trouble

EXPECT = Trouble(
    kind="ends",
    rules=("loss-input",),
    where="softmax|7|loss",
    words="softmax",
    advice="logits",
)


def loss(out):
    labels = torch.arange(out.shape[0]) % out.shape[1]
    return F.cross_entropy(out, labels)


def _make(twice):
    torch.manual_seed(0)
    layers = [
        nn.Linear(128, 256),
        nn.ReLU(),
        nn.Linear(256, 256),
        nn.ReLU(),
        nn.Linear(256, 256),
        nn.ReLU(),
        nn.Linear(256, 1000),
    ]
    for layer in layers:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
    if twice:
        layers.append(nn.Softmax(dim=-1))
    return nn.Sequential(*layers), torch.randn(64, 128), {"loss": loss}


def faulty():
    return _make(True)


def healthy():
    return _make(False)
