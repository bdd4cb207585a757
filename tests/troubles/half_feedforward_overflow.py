"""In a stack in float16 one channel of the later feed-forwards has grown past 65,504.

The second linear map (`blocks.*.down`) makes the first infinity, not the norm behind it, which only
turns it into NaN. bfloat16 helps. There the large channel is still the largest of every position:
that the gradient jumps and the positions are alike is true of the healthy twin, too.
"""

import torch
from torch import nn
from torch.nn import functional as F

from troubles import Trouble

EXPECT = Trouble(
    kind="numbers",
    rules=("activation-not-finite",),
    where="down",
    words="float16",
    advice="bfloat16|float32",
    allowed=("gradient-jumps", "positions-collapse"),
)


class Block(nn.Module):
    def __init__(self, d, large):
        super().__init__()
        self.norm = nn.LayerNorm(d)
        self.up = nn.Linear(d, 4 * d, bias=False)
        self.gate = nn.Linear(d, 4 * d, bias=False)
        self.down = nn.Linear(4 * d, d, bias=False)
        if large:
            self.up.weight.data *= 4
            self.gate.weight.data *= 4
            self.down.weight.data[7] *= 20_000

    def forward(self, x):
        h = self.norm(x)
        return x + self.down(F.gelu(self.gate(h)) * self.up(h))


class Net(nn.Module):
    def __init__(self, d=128):
        super().__init__()
        self.blocks = nn.ModuleList(Block(d, large=i >= 3) for i in range(6))
        self.norm = nn.LayerNorm(d)
        self.head = nn.Linear(d, 50)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def loss(out):
    return (out.float() ** 2).mean()


def _make(kind):
    torch.manual_seed(0)
    return Net().to(kind), torch.randn(8, 16, 128).to(kind), {"loss": loss}


def faulty():
    return _make(torch.float16)


def healthy():
    return _make(torch.bfloat16)
