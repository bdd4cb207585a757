"""Token embeddings of norm 1 are added to sinusoidal positions of norm sqrt(d / 2).

An embedding has an RMS of 512^-0.5 = 0.044 and a position one of 0.71, so that after the sum all
sequences look alike (correlation above 0.99). Embeddings times sqrt(d) help.
"""

import math

import torch
from torch import nn

from troubles import Trouble

EXPECT = Trouble(
    kind="ends",
    rules=("samples-collapse",),
    where=r"^add\b|^mul\b|embed",
    words="smaller",
    advice="multiply",
    severity="info",
)


class Model(nn.Module):
    position: torch.Tensor

    def __init__(self, scale, d=512):
        super().__init__()
        self.embed = nn.Embedding(200, d)
        nn.init.normal_(self.embed.weight, std=d**-0.5)
        time = torch.arange(64)[:, None] / 10000 ** (torch.arange(0, d, 2) / d)
        self.register_buffer("position", torch.cat([time.sin(), time.cos()], -1))
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(d, 8, 1024, 0.0, batch_first=True, norm_first=True)
            for _ in range(2)
        )
        self.scale = scale

    def forward(self, ids):
        x = self.embed(ids) * self.scale + self.position[: ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        return x


def _make(scale):
    torch.manual_seed(0)
    return Model(scale), torch.randint(0, 200, (8, 48))


def faulty():
    return _make(1.0)


def healthy():
    return _make(math.sqrt(512))
