"""A speaker network in bfloat16 pools over time with a variance of E[x^2] - E[x]^2.

In four utterances of silence both terms are nearly equal, rounding makes their difference negative,
by more than the 1e-5 that is added, and `pool.sqrt` gives NaN. E[(x - mean)^2] helps.
Report: tenstorrent/tt-metal, issue 45968; google/flax, issue 1491. 18% of the silent channels have
a variance below -1e-5, down to -1.2e-4.
"""

import torch
from torch import nn
from torch.nn import functional as F

from troubles import Trouble

EXPECT = Trouble(
    kind="numbers",
    rules=("activation-not-finite",),
    where="sqrt|pool",
    words="negative",
    advice="subtract|clamp",
)


class Pool(nn.Module):
    def __init__(self, centred):
        super().__init__()
        self.centred = centred

    def forward(self, x):
        mean = x.mean(-1)
        if self.centred:
            variance = (x - mean[..., None]).square().mean(-1)
        else:
            variance = x.square().mean(-1) - mean.square()
        return torch.cat([mean, torch.sqrt(variance + 1e-5)], -1)


class Speaker(nn.Module):
    def __init__(self, centred, d=64):
        super().__init__()
        self.frames = nn.Sequential(
            nn.Conv1d(24, d, 5), nn.SiLU(), nn.Conv1d(d, d, 3), nn.SiLU(), nn.Conv1d(d, d, 1)
        )
        self.pool = Pool(centred)
        self.norm = nn.LayerNorm(2 * d)
        self.segment = nn.Sequential(nn.Linear(2 * d, d), nn.SiLU(), nn.Linear(d, 10))

    def forward(self, x):
        return self.segment(self.norm(self.pool(self.frames(x))))


def _make(centred):
    torch.manual_seed(0)
    model, x, labels = (
        Speaker(centred).bfloat16(),
        torch.randn(32, 24, 60),
        torch.randint(0, 10, (32,)),
    )
    x[5::8] = torch.randn(24, 1) + 0.01 * torch.randn(
        4, 24, 60
    )  # the features of silence: nearly the same in each frame
    return model, x.bfloat16(), {"loss": lambda out: F.cross_entropy(out.float(), labels)}


def faulty():
    return _make(False)


def healthy():
    return _make(True)
