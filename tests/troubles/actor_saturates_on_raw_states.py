"""An actor that ends in tanh is given raw observations of RMS 300.

The tanh lies at its ends, where its slope is 0, and hardly any gradient comes back. The inputs are
the cause: normalized observations help.
"""

import torch
from torch import nn

from troubles import Trouble

EXPECT = Trouble(
    kind="ends",
    rules=("saturated-units",),
    where=r"tanh|\b5\b",
    words="input",
    advice="normali|scale",
)


def _make(scale):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(12, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 2), nn.Tanh()
    )
    return model, torch.randn(128, 12) * scale


def faulty():
    return _make(300.0)


def healthy():
    return _make(1.0)
