"""A pretrained transformer has a new head, and its optimizer was made before that.

`clf_head` has a gradient (RMS 0.107), but it is in no group of the optimizer, so that no step moves
it. The optimizer of all trainable parameters helps. The frozen embedding is frozen on purpose.
Report: huggingface/pytorch-openai-transformer-lm, pull request 6.
"""

import torch
from torch import nn
from torch.nn import functional as F

from troubles import Trouble

EXPECT = Trouble(
    kind="moves",
    rules=("parameter-not-optimized",),
    where="clf_head",
    words="optimizer",
    advice="optimizer",
)


class Transformer(nn.Module):
    def __init__(self, d=96, depth=4, vocabulary=400, length=24):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, d)
        self.embed.requires_grad_(False)
        self.position = nn.Parameter(torch.randn(length, d))
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(d, 4, 4 * d, 0.0, F.gelu, batch_first=True, norm_first=True)
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(d)

    def forward(self, ids):
        x = self.embed(ids) + self.position
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class Classifier(nn.Module):
    def __init__(self, d=96, classes=4):
        super().__init__()
        self.transformer = Transformer(d)
        self.clf_head = nn.Linear(d, classes)

    def forward(self, ids):
        return self.clf_head(self.transformer(ids)[:, -1])


def _make(everything):
    torch.manual_seed(0)
    model, ids = Classifier(), torch.randint(0, 400, (32, 24))
    labels = torch.randint(0, 4, (32,))
    source = model if everything else model.transformer
    optimizer = torch.optim.AdamW([p for p in source.parameters() if p.requires_grad], lr=6e-5)
    return model, ids, {"loss": lambda out: F.cross_entropy(out, labels), "optimizer": optimizer}


def faulty():
    return _make(False)


def healthy():
    return _make(True)
