"""A network mixes its branches by learned scalars, which torch.as_tensor gathers from a list.

as_tensor copies the numbers out of the graph, so that the gradient of `layers.*.mix` is None and
the mixture stays 1:1:1; all else is trained. torch.stack helps.
Report: lululxvi/deepxde, pull request 1318. In 50 steps of Adam the 12 scalars move by 0.0; with
stack by up to 0.044.
"""

import torch
from torch import nn
from torch.nn import functional as F

from troubles import Trouble

EXPECT = Trouble(
    kind="moves",
    rules=("gradient-cut",),
    where="mix",
    words="no gradient",
    advice="stack",
)


class Multi(nn.Module):
    scale: torch.Tensor

    def __init__(self, channels, keep):
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Conv1d(channels, channels, k, padding=k // 2) for k in (1, 5, 9)
        )
        self.mix = nn.ParameterList(nn.Parameter(torch.tensor(0.0)) for _ in range(3))
        self.norm = nn.GroupNorm(4, channels)
        self.register_buffer("scale", torch.tensor(3.0))
        self.keep = keep

    def forward(self, x):
        mix = torch.stack(list(self.mix)) if self.keep else torch.as_tensor(list(self.mix))
        weights = mix.softmax(0) * self.scale
        y = sum(w * branch(x) for w, branch in zip(weights, self.branches, strict=True))
        return x + F.relu(self.norm(y))


class Net(nn.Module):
    def __init__(self, keep, channels=32, depth=4):
        super().__init__()
        self.stem = nn.Conv1d(2, channels, 3, padding=1)
        self.layers = nn.ModuleList(Multi(channels, keep) for _ in range(depth))
        self.norm = nn.GroupNorm(4, channels)
        self.head = nn.Linear(channels, 6)

    def forward(self, x):
        x = self.stem(x)
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x).mean(-1))


def _make(keep):
    torch.manual_seed(0)
    model, x, labels = Net(keep), torch.randn(32, 2, 64), torch.randint(0, 6, (32,))
    return model, x, {"loss": lambda out: F.cross_entropy(out, labels)}


def faulty():
    return _make(False)


def healthy():
    return _make(True)
