"""A super-resolution network adds 24 plain convolutions of PyTorch's default weights to its input.

Their fan_in x variance is 1/3 where ReLU needs 2: each convolution multiplies value and gradient by
0.4, and the long skip hides it, as the output is fine. He weights help.
Report: pytorch/pytorch, issues 6950 and 15314; twtygqyy/pytorch-vdsr, issue 31. Weight gradients go
from 8.8e-4 (last) to 1e-12 (first four), with He weights from 6e-3 to 9.7e-4.
"""

import torch
from torch import nn
from torch.nn import functional as F

from troubles import Trouble

EXPECT = Trouble(
    kind="growth",
    rules=("gradient-vanishes",),
    where="trunk",
    words="weights",
    advice="variance|kaiming",
)


class Plain(nn.Module):
    def __init__(self, he, channels=24, depth=24):
        super().__init__()
        layers = [nn.Conv2d(1, channels, 3, padding=1), nn.ReLU()]
        for _ in range(depth - 2):
            layers += [nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU()]
        self.trunk = nn.Sequential(*layers, nn.Conv2d(channels, 1, 3, padding=1))
        if he:
            for layer in layers:
                if isinstance(layer, nn.Conv2d):
                    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                    nn.init.zeros_(layer.get_parameter("bias"))

    def forward(self, x):
        return x + self.trunk(x)


def _make(he):
    torch.manual_seed(0)
    model, x = Plain(he), torch.randn(16, 1, 20, 20)
    target = x + 0.3 * torch.randn_like(x)
    return model, x, {"loss": lambda out: F.mse_loss(out, target)}


def faulty():
    return _make(False)


def healthy():
    return _make(True)
