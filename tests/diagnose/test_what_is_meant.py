"""Models that train well, or are right as they are, in ways that look like trouble: none is an
alarm. And losses, outputs and masks that must not end in a traceback."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import depthscale as ds
from depthscale.run import FateKind

BATCH = 32
Loss = Callable[[Tensor], Tensor]


def x(*shape: int) -> Tensor:
    return torch.randn(*(shape or (BATCH, 6)), generator=torch.Generator().manual_seed(0))


def labels() -> Tensor:
    return torch.arange(BATCH) % 10


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 10))


class Of(nn.Module):
    """A model of a function of its layers and the input."""

    def __init__(self, run: Callable[["Of", Tensor], Tensor], outputs: int = 6):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Linear(6, outputs), nn.Linear(6, outputs)
        self.heads = nn.ModuleList(nn.Linear(6, 6) for _ in range(3))
        self.run = run

    def forward(self, x: Tensor) -> Tensor:
        return self.run(self, x)


class Reversed(torch.autograd.Function):
    """A view whose gradient is turned round."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *g: Tensor) -> Tensor:
        return -g[0]


def zero_head() -> nn.Module:
    model = net()
    nn.init.zeros_(model[-1].weight)  # type: ignore[arg-type]
    return model


def hooked() -> nn.Module:
    model = nn.Sequential(nn.Linear(6, 3))
    model[-1].register_full_backward_hook(lambda module, entering, leaving: None)
    return model


def switched(model: Of, x: Tensor) -> Tensor:
    """A mixture of experts of which every sample takes the first."""
    shares, chosen = model.a(x).softmax(-1), torch.zeros(len(x), dtype=torch.long)
    parts = (
        torch.where((chosen == i)[:, None], shares[:, i : i + 1], 0.0) * head(x)
        for i, head in enumerate(model.heads)
    )
    return sum(parts, torch.zeros(len(x), 6))


def top_two(model: Of, x: Tensor) -> Tensor:
    scores = model.a(x)
    values, chosen = scores.topk(2)
    routed = torch.full_like(scores, -torch.inf).scatter(-1, chosen, values).softmax(-1)
    return model.b(routed)


def penalty(model: Of, x: Tensor) -> Tensor:
    x = x.detach().requires_grad_()
    y = model.b(torch.tanh(model.a(x))).sum()
    return torch.autograd.grad(y, x, create_graph=True)[0]


class Token(nn.Module):
    """The first of twelve positions is read; attention's last weights are 0."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.norm = nn.Linear(6, 12 * 16), nn.LayerNorm(16)
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)
        nn.init.zeros_(self.attention.out_proj.weight)
        self.head = nn.Linear(16, 6)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.embed(x).unflatten(-1, (12, 16)))
        y = y + self.attention(y, y, y, need_weights=False)[0]
        return self.head(y[:, 0])


MODELS: dict[str, Callable[[], nn.Module]] = {
    "a head that begins at zero": zero_head,
    "a hook on the last module": hooked,
    "a reversed gradient at the end": lambda: Of(lambda m, x: Reversed.apply(m.a(x))),  # type: ignore[arg-type, return-value]
    "a gradient by vmap at the end": lambda: Of(
        lambda m, x: torch.func.vmap(torch.func.grad(lambda t: m.a(t).tanh().sum()))(x)
    ),
    "a derivative taken inside": lambda: Of(penalty),
    "heads of which one is chosen": lambda: Of(
        lambda m, x: torch.stack([head(x) for head in m.heads])[1]
    ),
    "a path that is dropped": lambda: Of(
        lambda m, x: m.a(x) + m.b(x) * x.new_empty(len(x), 1).bernoulli_(0.0)
    ),
    "experts that nobody chose": lambda: Of(switched),
    "a router that masks by -inf": lambda: Of(top_two),
    "a hard Gumbel softmax": lambda: Of(lambda m, x: m.b(F.gumbel_softmax(m.a(x), hard=True))),
    "attention without a batch": lambda: Of(
        lambda m, x: F.scaled_dot_product_attention(m.a(x), m.b(x), x)
    ),
    "a class token before branches that begin at zero": lambda: Token(),
    "a traced module": lambda: torch.jit.trace(nn.Linear(6, 3), x(4, 6)),  # type: ignore[return-value]
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_is_meant_so_raises_no_alarm(name: str) -> None:
    run = ds.probe(MODELS[name](), x(), verify=True)
    assert run.verified
    assert ds.diagnose(run).healthy, ds.diagnose(run)


IGNORED = torch.full((BATCH,), -100)
LOSSES: dict[str, Loss] = {
    "a sum of squares": lambda o: F.mse_loss(o, x(BATCH, 10), reduction="sum"),
    "one value for all": lambda o: F.mse_loss(o, torch.tensor(1.0)),
    "all pairs, as of quantiles": lambda o: F.smooth_l1_loss(
        o.unsqueeze(1), x(BATCH, 8, 1), reduction="none"
    ).mean(),
    "softmax as the target": lambda o: F.binary_cross_entropy_with_logits(
        x(BATCH, 10), o.softmax(1)
    ),
    "mixed labels": lambda o: F.cross_entropy(o, F.one_hot(labels(), 10).float()),
    "rare positives": lambda o: F.binary_cross_entropy_with_logits(
        o, torch.ones(BATCH, 10), pos_weight=torch.tensor(40.0)
    ),
    "a head without labels": lambda o: (
        F.cross_entropy(o, labels()) + F.cross_entropy(o, IGNORED, reduction="sum")
    ),
    "few samples of one label": lambda o: F.cross_entropy(o[:8], torch.zeros(8, dtype=torch.long)),
}


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_that_is_meant_so_raises_no_alarm(name: str) -> None:
    found = ds.diagnose(ds.probe(net(), x(), loss=LOSSES[name]))
    assert found.healthy, found


def test_a_loss_of_which_every_label_is_ignored_says_so() -> None:
    found = ds.diagnose(ds.probe(net(), x(), loss=lambda o: F.cross_entropy(o, IGNORED)))
    assert "every label is ignored" in found.verdict


class Own(torch.autograd.Function):
    """x times w, of which the gradient of w is left out."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        ctx.save_for_backward(w)
        return x * w

    @staticmethod
    def backward(ctx: Any, *g: Tensor) -> tuple[Tensor, None]:
        return g[0] * ctx.saved_tensors[0], None


def test_a_parameter_that_a_function_leaves_out_gets_none() -> None:
    model = Of(lambda m, x: Own.apply(m.a(x), m.b.bias))  # type: ignore[arg-type, return-value]
    kinds = {p.name: p.fate.kind for p in ds.probe(model, x()).params}
    assert kinds["b.bias"] is FateKind.NONE
    assert kinds["a.weight"] is FateKind.MOVES


class Again(torch.autograd.Function):
    """A module run again in the backward pass, which adds to its parameters' .grad."""

    @staticmethod
    def forward(ctx: Any, module: nn.Module, x: Tensor) -> Tensor:
        ctx.module = module
        ctx.save_for_backward(x)
        with torch.no_grad():
            return module(x)

    @staticmethod
    def backward(ctx: Any, *g: Tensor) -> tuple[None, Tensor | None]:
        given = ctx.saved_tensors[0].detach().requires_grad_()
        with torch.enable_grad():
            ctx.module(given).backward(g[0])
        return None, given.grad


def test_a_function_that_adds_to_grad_leaves_it_as_it_was() -> None:
    model = Of(lambda m, x: Again.apply(m.a, m.b(x)))  # type: ignore[arg-type, return-value]
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    ds.probe(model, x())
    assert all(bool((p.grad == 1).all()) for p in model.parameters() if p.grad is not None)
