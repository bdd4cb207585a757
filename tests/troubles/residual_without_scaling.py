"""A super-resolution trunk has 32 residual blocks of He weights without norms.

Each block adds a branch as large as the trunk, so that activations and gradients grow by 1.7 per
block. Branches times 0.1 help.
"""

import torch
from torch import nn
from torch.nn import functional as F

from troubles import Trouble

EXPECT = Trouble(
    kind="growth",
    rules=("gradient-explodes", "activation-explodes"),
    where="blocks",
    words=r"branch|residual|sum|\badd does",
    advice="scale the branch",
)


class Block(nn.Module):
    def __init__(self, width, scale):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        for conv in (self.conv1, self.conv2):
            nn.init.kaiming_normal_(conv.weight)
            nn.init.zeros_(conv.get_parameter("bias"))
        self.scale = scale

    def forward(self, x):
        return x + self.conv2(F.relu(self.conv1(x))) * self.scale


class Trunk(nn.Module):
    def __init__(self, scale, width=32, depth=32):
        super().__init__()
        self.head = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.Sequential(*(Block(width, scale) for _ in range(depth)))
        self.tail = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, x):
        x = self.head(x)
        return self.tail(x + self.blocks(x))


def _make(scale):
    torch.manual_seed(0)
    return Trunk(scale), torch.randn(2, 3, 16, 16)


def faulty():
    return _make(1.0)


def healthy():
    return _make(0.1)
