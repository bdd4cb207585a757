"""A policy ends in a softmax over axis 0, which is right for one state and wrong for a batch.

The 64 states compete with each other, and the probabilities of one state add up to 0.05-0.07, not
to 1. dim=-1 helps.
Report: DeepReinforcementLearning/DeepReinforcementLearningInAction, issue 32; ctallec/world-models,
issue 10.
"""

import torch
from torch import nn

from troubles import Trouble

EXPECT = Trouble(
    kind="ends",
    rules=("softmax-over-samples",),
    where=r"softmax|\b6\b",
    words="batch",
    advice=r"\bdim\b",
)


def _make(dim):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(8, 96),
        nn.LayerNorm(96),
        nn.LeakyReLU(),
        nn.Linear(96, 96),
        nn.LeakyReLU(),
        nn.Linear(96, 4),
        nn.Softmax(dim=dim),
    )
    states, actions = torch.randn(64, 8), torch.randint(0, 4, (64, 1))
    returns = torch.rand(64)  # discounted rewards to go, divided by the largest
    return (
        model,
        states,
        {"loss": lambda out: -(returns * out.gather(1, actions).squeeze(1).log()).mean()},
    )


def faulty():
    return _make(0)


def healthy():
    return _make(-1)
