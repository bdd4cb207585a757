"""A spiking network has a threshold that is high for its weights.

From the third layer on (`layers.2`) no neuron fires, and the surrogate slope, far from the
threshold, makes the gradient smaller in every layer. A lower threshold and larger weights help.
"""

import torch
from torch import nn

from troubles import Trouble

EXPECT = Trouble(
    kind="growth",
    rules=("gradient-deleted", "gradient-vanishes", "dead-units"),
    where="Spike",
    words="Spike|dead",
    advice="threshold|weights",
)


class Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx, v):
        ctx.save_for_backward(v)
        return (v > 0).to(v)

    @staticmethod
    def backward(ctx, *grad_outputs):
        (v,) = ctx.saved_tensors
        return grad_outputs[0] / (1 + (torch.pi * v) ** 2)


class Leaky(nn.Module):
    def __init__(self, fan_in, width, threshold, gain):
        super().__init__()
        self.linear = nn.Linear(fan_in, width, bias=False)
        with torch.no_grad():
            self.linear.weight.mul_(gain)
        self.threshold = threshold

    def forward(self, spikes):
        v, out = 0.0, []
        for t in range(spikes.shape[0]):
            v = 0.9 * v + self.linear(spikes[t])
            fired = Spike.apply(v - self.threshold)
            v = v - fired.detach() * self.threshold
            out.append(fired)
        return torch.stack(out)


class Net(nn.Module):
    def __init__(self, threshold, gain):
        super().__init__()
        self.layers = nn.ModuleList(
            Leaky(64 if i == 0 else 128, 128, threshold, gain) for i in range(5)
        )
        self.head = nn.Linear(128, 10)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.head(x.mean(0))


def _make(threshold, gain):
    torch.manual_seed(0)
    return Net(threshold, gain), (torch.rand(10, 32, 64) < 0.3).float()


def faulty():
    return _make(1.0, 1.0)


def healthy():
    return _make(0.5, 3.0)
