"""A Gaussian policy's log standard deviation begins at -3 and is clamped to [-2, 0.5].

All its values lie below the clamp's lower end, where the slope is 0, so that `log_std` gets a
gradient of exactly 0. A start inside the range (-1) helps, as does a smooth bound.
Report: DLR-RM/stable-baselines3, issue 620; watchernyu/REDQ, issue 8. After 200 steps of Adam
`log_std` is still -3.00.
"""

import math

import torch
from torch import nn

from troubles import Trouble

EXPECT = Trouble(
    kind="moves",
    rules=("gradient-deleted",),
    where="clamp|log_std",
    words="clamp",
    advice="bound|range|tanh",
)


class Policy(nn.Module):
    def __init__(self, start, observations=17, actions=6, width=128):
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Linear(observations, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
        )
        for layer in self.trunk:
            if isinstance(layer, nn.Linear):
                nn.init.orthogonal_(layer.weight, 2**0.5)
                nn.init.zeros_(layer.bias)
        self.mean = nn.Linear(width, actions)
        self.log_std = nn.Linear(width, actions)
        with torch.no_grad():
            self.log_std.weight.mul_(0.1)
            self.log_std.bias.fill_(start)

    def forward(self, states):
        h = self.trunk(states)
        return torch.stack([self.mean(h), self.log_std(h).clamp(-2.0, 0.5)])


def _make(start):
    torch.manual_seed(0)
    model, states, actions = Policy(start), torch.randn(64, 17), torch.tanh(torch.randn(64, 6))

    def loss(out):
        mean, log_std = out
        return (
            0.5 * ((actions - mean) / log_std.exp()) ** 2 + log_std + 0.5 * math.log(2 * math.pi)
        ).mean()

    return model, states, {"loss": loss}


def faulty():
    return _make(-3.0)


def healthy():
    return _make(-1.0)
