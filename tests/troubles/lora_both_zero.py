"""LoRA adapters in a frozen transformer begin with both factors at 0.

With A = B = 0 the gradients dA = B^T g x^T and dB = g (A x)^T are exactly 0, now and after every
step: nothing that is to be trained moves. A random A helps; a B of 0 is no trouble, and neither is
the frozen base.
Report: Guitaricet/relora, issue 18. The loss stays at 6.3815 over 10 steps of Adam, where it falls
to 5.90 with a random A.
"""

import torch
from torch import nn
from torch.nn import functional as F

from troubles import Trouble

EXPECT = Trouble(
    kind="moves",
    rules=("gradient-deleted",),
    where="lora|query|value",
    words="exactly 0",
    advice="random",
)


class LoRALinear(nn.Module):
    def __init__(self, d, rank, init_a):
        super().__init__()
        self.base = nn.Linear(d, d)
        self.base.requires_grad_(False)
        self.lora_a = nn.Parameter(torch.zeros(rank, d))
        self.lora_b = nn.Parameter(torch.zeros(d, rank))
        self.scaling = 16 / rank
        a = torch.randn(rank, d) / d**0.5
        if init_a:
            with torch.no_grad():
                self.lora_a.copy_(a)

    def forward(self, x):
        return self.base(x) + F.linear(F.linear(x, self.lora_a), self.lora_b) * self.scaling


class Attention(nn.Module):
    def __init__(self, d, heads, rank, init_a):
        super().__init__()
        self.query = LoRALinear(d, rank, init_a)
        self.key = nn.Linear(d, d)
        self.value = LoRALinear(d, rank, init_a)
        self.out = nn.Linear(d, d)
        self.heads = heads
        self.key.requires_grad_(False)
        self.out.requires_grad_(False)

    def forward(self, x):
        q, k, v = (
            f(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for f in (self.query, self.key, self.value)
        )
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, d, heads, rank, init_a):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.attention = Attention(d, heads, rank, init_a)
        self.mlp = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d))
        for frozen in (self.norm1, self.norm2, self.mlp):
            frozen.requires_grad_(False)

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Model(nn.Module):
    def __init__(self, init_a, d=96, depth=4):
        super().__init__()
        self.embed = nn.Embedding(500, d)
        self.blocks = nn.ModuleList(Block(d, 4, 8, init_a) for _ in range(depth))
        self.norm = nn.LayerNorm(d)
        self.head = nn.Linear(d, 500, bias=False)
        for frozen in (self.embed, self.norm, self.head):
            frozen.requires_grad_(False)

    def forward(self, ids):
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def _make(init_a):
    torch.manual_seed(0)
    return Model(init_a), torch.randint(0, 500, (16, 24))


def faulty():
    return _make(False)


def healthy():
    return _make(True)
