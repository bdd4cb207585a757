"""Learned prompt vectors stand in front of a text, and the attention mask has zeros for them.

No position of the text looks at `prompt`, and only the text is pooled: it gets a gradient of
exactly 0 and does not move. A mask of ones for the prompt helps. The frozen encoder and the masked
padding are meant.
Report: huggingface/sentence-transformers, pull request 3000; thunlp/OpenPrompt, issue 70.
"""

import torch
from torch import nn
from torch.nn import functional as F

from troubles import Trouble

EXPECT = Trouble(
    kind="moves",
    rules=("gradient-deleted",),
    where="prompt|attention",
    words="prompt.*mask|mask.*prompt",
    advice="mask|attend",
)


class Block(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.qkv, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.mlp = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d))
        self.heads = heads

    def forward(self, x, mask):
        q, k, v = (
            t.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for t in self.qkv(self.norm1(x)).chunk(3, -1)
        )
        x = x + self.out(
            F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None, :].bool())
            .transpose(1, 2)
            .flatten(2)
        )
        return x + self.mlp(self.norm2(x))


class PromptTuned(nn.Module):
    def __init__(self, visible, d=64, prompts=4, depth=4):
        super().__init__()
        self.embed = nn.Embedding(300, d)
        self.position = nn.Parameter(torch.randn(24, d) * 0.1)
        self.blocks = nn.ModuleList(Block(d, 4) for _ in range(depth))
        self.norm = nn.LayerNorm(d)
        self.requires_grad_(False)
        self.prompt = nn.Parameter(torch.randn(prompts, d) * 0.5)
        self.head = nn.Linear(d, 5)
        self.visible = visible

    def forward(self, ids):
        mask = (ids != 0).float()
        x = torch.cat([self.prompt.expand(len(ids), -1, -1), self.embed(ids) + self.position], 1)
        prefix = mask.new_full((len(ids), len(self.prompt)), 1.0 if self.visible else 0.0)
        full = torch.cat([prefix, mask], 1)
        for block in self.blocks:
            x = block(x, full)
        x = self.norm(x)[:, len(self.prompt) :]
        return self.head((x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True))


def _make(visible):
    torch.manual_seed(0)
    model, ids = PromptTuned(visible), torch.randint(1, 300, (32, 24))
    for row in range(0, 32, 3):
        ids[row, 18:] = 0
    labels = torch.randint(0, 5, (32,))
    return model, ids, {"loss": lambda out: F.cross_entropy(out, labels)}


def faulty():
    return _make(False)


def healthy():
    return _make(True)
