"""An autoencoder in float16 is trained without loss scaling, under a mean over 65,536 values.

Gradients fall below float16's smallest number, 6e-8, from the output (modules 12 and 13) on. It is
the type and not the depth. A loss scale of 2^16 helps, as does bfloat16.
Report: arXiv:1710.03740; NVlabs/tiny-cuda-nn, issue 472. 77% of the last weight's gradient is
exactly 0, with the scale 7%.
"""

import torch
from torch import nn
from torch.nn import functional as F

from troubles import Trouble

EXPECT = Trouble(
    kind="numbers",
    rules=("gradient-underflows",),
    where=r"\b1[23]\b",
    words="float16",
    advice="GradScaler|bfloat16",
)


def _make(scale):
    torch.manual_seed(0)
    layers, width = [], 256
    for _ in range(6):
        linear = nn.Linear(width, 128)
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.ReLU()]
        width = 128
    last = nn.Linear(width, 1024)  # one picture of 32 x 32
    nn.init.normal_(last.weight, std=width**-0.5)
    nn.init.zeros_(last.bias)
    model = nn.Sequential(*layers, last, nn.Sigmoid()).half()
    target = torch.rand(64, 1024)

    def loss(out):
        return 0.005 * F.mse_loss(out.float(), target)

    return model, torch.randn(64, 256).half(), {"loss": loss, "loss_scale": scale}


def faulty():
    return _make(1.0)


def healthy():
    return _make(2.0**16)
