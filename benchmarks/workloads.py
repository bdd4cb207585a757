"""What is run: a row a network, with its batch, the loss that trains it, and what was aimed at."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.resnet import ResNet50

Made = tuple[nn.Module, Any]


class Stepped(nn.Module):
    """torch's own LSTM cell, used once for each token."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(width, width)

    def forward(self, x: Tensor) -> Tensor:
        state = None
        for token in x:
            state = self.cell(token, state)
        assert state is not None
        return state[0]


class OwnCell(nn.Module):
    """A recurrent cell that a user writes: a GRU in 14 elementary operations a step."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.reset, self.update, self.state = (nn.Linear(2 * width, width) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        h = x.new_zeros(x.shape[1:])
        for i in range(len(x)):
            token = x[i]
            both = torch.cat([token, h], -1)
            reset = torch.sigmoid(self.reset(both))
            update = torch.sigmoid(self.update(both))
            new = torch.tanh(self.state(torch.cat([token, reset * h], -1)))
            h = (1 - update) * h + update * new
        return h


class Tiny(nn.Module):
    """Operations that cost nothing, one after the other; one matrix is there to be trained."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        x = self.linear(x)
        for _ in range(1000):
            x = torch.tanh(x) * 1.001
        return x


def mlp(depth: int, width: int, batch: int) -> Made:
    """Linear, Batch Norm and ReLU, as in README."""
    layers = [
        part
        for _ in range(depth)
        for part in (nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU())
    ]
    return nn.Sequential(*layers), torch.randn(batch, width)


def gpt2() -> Made:
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(GPT2Config()), {"input_ids": torch.randint(0, 50257, (2, 256))}


def llama() -> Made:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        hidden_size=512,
        intermediate_size=1408,
        num_hidden_layers=12,
        num_attention_heads=8,
        vocab_size=32000,
    )
    return LlamaForCausalLM(config), {"input_ids": torch.randint(0, 32000, (2, 256))}


def mean_square(output: Tensor, inputs: Any) -> Tensor:
    return output.square().mean()


def next_token(output: Any, inputs: Any) -> Tensor:
    """Cross-entropy of the token that follows."""
    logits = getattr(output, "logits", output)
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), inputs["input_ids"][:, 1:].flatten())


@dataclass(frozen=True)
class Workload:
    """A network as it is trained.

    Attributes:
        title: in words.
        make: draws the model and its batch.
        aim: what the probe may cost, in passes of plain training, page faults apart.
        aim_params: the same with every parameter and its gradient; None: not asked.
        loss: of the output and the inputs.
        is_quick: whether the quick share of the benchmarks has it.
    """

    title: str
    make: Callable[[], Made]
    aim: float
    aim_params: float | None = None
    loss: Callable[[Any, Any], Tensor] = mean_square
    is_quick: bool = False


WORKLOADS: dict[str, Workload] = {
    "wide": Workload("BN MLP 10 x 1024, batch 128", partial(mlp, 10, 1024, 128), 0.80, 1.20),
    "gpt2": Workload("GPT-2 small, 2 x 256 tokens", gpt2, 0.78, 1.12, next_token),
    "llama": Workload("Llama 12 x 512, 2 x 256 tokens", llama, 0.82, 1.15, next_token),
    "resnet": Workload(
        "ResNet-50, batch 4, 224 px", lambda: (ResNet50(), torch.randn(4, 3, 224, 224)), 0.95
    ),
    "readme": Workload(
        "README's 40 x 256, batch 128", partial(mlp, 40, 256, 128), 1.2, is_quick=True
    ),
    "batch8": Workload("BN MLP 10 x 256, batch 8", partial(mlp, 10, 256, 8), 1.8, is_quick=True),
    "batch64": Workload("BN MLP 10 x 256, batch 64", partial(mlp, 10, 256, 64), 1.6),
    "batch256": Workload("BN MLP 10 x 256, batch 256", partial(mlp, 10, 256, 256), 1.2),
    "lstm": Workload("LSTMCell, 200 steps", lambda: (Stepped(), torch.randn(200, 8, 64)), 3.5),
    "cell": Workload("own cell, 200 steps", lambda: (OwnCell(), torch.randn(200, 8, 64)), 9.0),
    "tiny": Workload(
        "2,000 tiny operations", lambda: (Tiny(), torch.randn(4, 16)), 10.0, is_quick=True
    ),
}
