"""A small U-Net ends in a sigmoid, under a binary cross entropy that takes logits.

The loss applies a second sigmoid to values between 0 and 1: background costs at least ln 2 = 0.693
and the gradient is at most a quarter. A model that returns logits helps.
Report: avBuffer/UNet3plus_pth, issue 23; hustvl/YOLOP, issues 117 and 141; nv-tlabs/GSCNN, issue
62. After 60 steps of Adam the loss is 0.851, without the sigmoid 0.388.
"""

import torch
from torch import nn
from torch.nn import functional as F

from troubles import Trouble

EXPECT = Trouble(
    kind="ends",
    rules=("loss-input",),
    where="sigmoid|loss",
    words="sigmoid.*logits",
    advice="logits",
)


def double(i, o):
    return nn.Sequential(
        nn.Conv2d(i, o, 3, padding=1, bias=False),
        nn.BatchNorm2d(o),
        nn.ReLU(),
        nn.Conv2d(o, o, 3, padding=1, bias=False),
        nn.BatchNorm2d(o),
        nn.ReLU(),
    )


class UNet(nn.Module):
    def __init__(self, squash, w=12):
        super().__init__()
        self.down1, self.down2, self.bottom = double(1, w), double(w, 2 * w), double(2 * w, 4 * w)
        self.up2, self.up1 = (
            nn.ConvTranspose2d(4 * w, 2 * w, 2, 2),
            nn.ConvTranspose2d(2 * w, w, 2, 2),
        )
        self.merge2, self.merge1 = double(4 * w, 2 * w), double(2 * w, w)
        self.out = nn.Conv2d(w, 1, 1)
        self.squash = squash

    def forward(self, x):
        a = self.down1(x)
        b = self.down2(F.max_pool2d(a, 2))
        c = self.bottom(F.max_pool2d(b, 2))
        c = self.merge2(torch.cat([self.up2(c), b], 1))
        c = self.merge1(torch.cat([self.up1(c), a], 1))
        c = self.out(c)
        return torch.sigmoid(c) if self.squash else c


def _make(squash):
    torch.manual_seed(0)
    model, x = UNet(squash), torch.randn(16, 1, 32, 32)
    mask = torch.zeros(16, 1, 32, 32)
    mask[:, :, 12:18, 12:18] = 1.0
    x = x + 2 * mask
    return model, x, {"loss": lambda out: F.binary_cross_entropy_with_logits(out, mask)}


def faulty():
    return _make(True)


def healthy():
    return _make(False)
