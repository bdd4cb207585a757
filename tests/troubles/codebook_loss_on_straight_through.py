"""A VQ autoencoder takes its codebook loss from z_e + (z - z_e).detach().

The codebook stands inside detach() alone: its gradient is None and it never moves, and what is left
of its loss pushes the encoder away from the codes. The loss of z itself helps; its argmin and the
detach of the straight-through sum are no trouble.
Report: showlab/Olaf-World, issue 8. Over 50 steps the loss rises from 2.63 to 13.9; with the loss
of z it falls to 2.04.
"""

import torch
from torch import nn
from torch.nn import functional as F

from troubles import Trouble

EXPECT = Trouble(
    kind="moves",
    rules=("gradient-cut",),
    where="codebook|quantizer|detach",
    words="no gradient",
    advice="detach|straight",
)


class Quantizer(nn.Module):
    def __init__(self, codes, d):
        super().__init__()
        self.codebook = nn.Embedding(codes, d)

    def forward(self, z_e):
        with torch.no_grad():
            index = torch.cdist(z_e, self.codebook.weight).argmin(-1)
        z = self.codebook(index)
        return z_e + (z - z_e).detach(), z


class Residual(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.body = nn.Sequential(
            nn.GroupNorm(4, d),
            nn.SiLU(),
            nn.Conv1d(d, d, 3, padding=1),
            nn.GroupNorm(4, d),
            nn.SiLU(),
            nn.Conv1d(d, d, 3, padding=1),
        )

    def forward(self, x):
        return x + self.body(x)


class VQ(nn.Module):
    def __init__(self, before, d=48, codes=64, depth=3):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv1d(6, d, 4, 2, 1),
            *(Residual(d) for _ in range(depth)),
            nn.GroupNorm(4, d),
            nn.Conv1d(d, 32, 1),
        )
        self.quantizer = Quantizer(codes, 32)
        self.decoder = nn.Sequential(
            nn.Conv1d(32, d, 1),
            *(Residual(d) for _ in range(depth)),
            nn.ConvTranspose1d(d, 6, 4, 2, 1),
        )
        self.before = before

    def forward(self, x):
        z_e = self.encoder(x).transpose(1, 2)
        z_q, z = self.quantizer(z_e)
        reconstruction = self.decoder(z_q.transpose(1, 2))
        codebook_loss = F.mse_loss(z if self.before else z_q, z_e.detach())
        commitment = F.mse_loss(z_e, z.detach())
        return F.mse_loss(reconstruction, x) + codebook_loss + 0.25 * commitment


def _make(before):
    torch.manual_seed(0)
    return VQ(before), torch.randn(16, 6, 32), {"loss": lambda out: out}


def faulty():
    return _make(False)


def healthy():
    return _make(True)
