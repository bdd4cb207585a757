"""What becomes of each parameter: as a plain step of the user's shows it, and by which operation it
became so."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from depthscale._probe import inputs as given
from depthscale._probe import outputs, probe
from depthscale.run import FateKind, FateReason, Run
from known_networks import KNOWN
from probe.checks import state
from probe.test_parameters import ByHand


def x(*shape: int) -> Tensor:
    return torch.randn(*(shape or (4, 8)), generator=torch.Generator().manual_seed(1))


def plain_kinds(model: nn.Module, inputs: object) -> dict[str, FateKind]:
    """Of a plain step with the probe's cotangent."""
    torch.manual_seed(3)
    ready = given.prepared(inputs, followed=False)
    model.zero_grad()
    target = outputs.chosen(model(*ready.args, **ready.kwargs), None)
    cotangent = torch.Generator().manual_seed(0)
    if target.requires_grad:
        kind = outputs.kind_of("independent", target)
        target.backward(outputs.cotangent(kind, target.detach(), cotangent, 1.0))
    kinds = {}
    for name, p in model.named_parameters():
        if not p.requires_grad:
            kinds[name] = FateKind.FROZEN
        elif p.grad is None:
            kinds[name] = FateKind.NONE
        else:
            kinds[name] = FateKind.MOVES if p.grad.any() else FateKind.ZERO
    model.zero_grad()
    return kinds


def kinds_of(trace: Run) -> dict[str, FateKind]:
    return {p.name: p.fate.kind for p in trace.params}


class Checkpointed(nn.Module):
    """Blocks behind checkpoints, over an embedding that may be frozen."""

    def __init__(self, reentrant: bool, frozen: bool, nested: bool = False):
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(20, 8)
        self.embed.requires_grad_(not frozen)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(8, 8), nn.GELU()) for _ in range(3))
        self.head, self.reentrant, self.nested = nn.Linear(8, 4), reentrant, nested

    def forward(self, ids: Tensor) -> Tensor:
        h = self.embed(ids)
        for block in self.blocks:
            h = h + self.through(lambda y, block=block: self.inner(block, y), h)
        return self.head(h)

    def through(self, run: object, h: Tensor) -> Tensor:
        return checkpoint(run, h, use_reentrant=self.reentrant)  # type: ignore[return-value]

    def inner(self, block: nn.Module, h: Tensor) -> Tensor:
        return self.through(block, h) if self.nested else block(h)


class Odd(nn.Module):
    """Two layers, of which something odd becomes."""

    def __init__(self, what: str):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.c = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.what = what
        if what == "adapter at zero":
            nn.init.zeros_(self.a.weight)
            nn.init.zeros_(self.a.bias)
            nn.init.zeros_(self.b.weight)
        if what == "zero weights that learn first":
            nn.init.zeros_(self.b.weight)

    def forward(self, x: Tensor) -> Tensor:
        with torch.set_grad_enabled(self.what != "no grad"):
            h = self.a(x)
        if self.what == "detach":
            h = h.detach()
        elif self.what == "argmax":
            h = F.one_hot(h.argmax(-1), 8).to(x.dtype)
        elif self.what == "round":
            h = h.round()
        elif self.what == "softmax over one":
            h = x * self.a(x)[:, :1].softmax(-1)
        elif self.what == "beside":
            self.other, h = h.sum(), x
        return self.c(self.b(h))


ODD = {  # fate of a.weight, the function that made it so, and why
    "detach": (FateKind.NONE, "linear", FateReason.DETACH),
    "no grad": (FateKind.NONE, "linear", FateReason.NO_GRAD),
    "argmax": (FateKind.NONE, "linear", FateReason.INDEX),
    "beside": (FateKind.NONE, "linear", FateReason.BESIDE),
    "round": (FateKind.ZERO, "round", FateReason.ZERO_GRADIENT),
    "softmax over one": (FateKind.ZERO, "softmax", FateReason.ZERO_GRADIENT),
    "adapter at zero": (FateKind.ZERO, "linear", FateReason.ZERO_GRADIENT),
    "zero weights that learn first": (FateKind.ZERO, "linear", FateReason.WAITS),
    "nothing": (FateKind.MOVES, "", None),
}


@pytest.mark.parametrize("what", ODD)
def test_what_gets_no_gradient_names_the_operation_that_made_it_so(what: str) -> None:
    model = Odd(what)
    trace = probe(model, x())
    kind, op, reason = ODD[what]
    fate = trace.params[0].fate
    assert (fate.kind, fate.reason) == (kind, reason)
    assert ("" if fate.op is None else trace.ops[fate.op].op) == op
    assert kinds_of(trace) == plain_kinds(model, x())


def test_both_factors_at_zero_never_move_and_one_does() -> None:
    both, one = (probe(Odd(what), x()) for what in list(ODD)[-3:-1])
    second = "b.weight"
    assert (kinds_of(both)[second], kinds_of(one)[second]) == (FateKind.ZERO, FateKind.MOVES)
    assert next(p for p in both.params if p.name == second).fate.reason is FateReason.ZERO_INPUT


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("reentrant", [False, True])
def test_a_checkpoint_is_not_healed(reentrant: bool, frozen: bool, nested: bool) -> None:
    """A reentrant one gives its blocks no gradient where none of its inputs requires one; that the
    probe makes all visible hides nothing."""
    model, ids = Checkpointed(reentrant, frozen, nested), torch.arange(20).reshape(2, 10)
    before = state(model)
    trace = probe(model, ids)
    assert state(model) == before
    assert kinds_of(trace) == plain_kinds(model, ids)
    lost = [p for p in trace.params if p.fate.kind is FateKind.NONE]
    assert len(lost) == (6 if reentrant and frozen else 0)
    assert all(p.fate.reason is FateReason.CHECKPOINT for p in lost)
    assert [trace.ops[p.fate.op or 0].op for p in lost] == ["gelu"] * len(lost)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("follows", [False, True])
def test_inputs_that_the_user_follows_keep_a_reentrant_checkpoint_alive(follows: bool) -> None:
    class Body(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            return checkpoint(self.fc, x, use_reentrant=True) * 2  # type: ignore[operator]

    model, inputs = Body(), x().requires_grad_(follows)
    trace = probe(model, inputs)
    expected = FateKind.MOVES if follows else FateKind.NONE
    assert set(kinds_of(trace).values()) == {expected} == set(plain_kinds(model, inputs).values())


class Unseen(torch.autograd.Function):
    """A checkpoint written by hand, which is given no weights."""

    @staticmethod
    def forward(ctx, inside: nn.Module, x: Tensor) -> Tensor:  # type: ignore[override]
        ctx.inside, ctx.x = inside, x.detach()
        with torch.no_grad():
            return inside(x)

    @staticmethod
    def backward(ctx, g: Tensor):  # type: ignore[override]
        with torch.enable_grad():
            x = ctx.x.requires_grad_()
            torch.autograd.backward([ctx.inside(x)], [g])
        return None, x.grad


@pytest.mark.parametrize("trained", [False, True])
def test_a_function_with_a_graph_of_its_own_is_run_plainly(trained: bool) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.inside, self.last = (nn.Linear(8, 8) for _ in range(3))
            self.first.requires_grad_(trained)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(Unseen.apply(self.inside, self.first(x)))

    model = Net()
    before = state(model)
    trace = probe(model, x())
    assert state(model) == before
    assert kinds_of(trace) == plain_kinds(model, x())
    assert kinds_of(trace)["inside.weight"] is (FateKind.MOVES if trained else FateKind.NONE)


def test_a_function_that_is_given_its_weights_needs_no_second_run() -> None:
    model = ByHand("grad")
    assert set(kinds_of(probe(model, x())).values()) == {FateKind.MOVES}


def test_a_layer_that_never_runs_is_unused() -> None:
    model = Odd("nothing")
    model.d = nn.Linear(8, 8)
    fates = [p.fate for p in probe(model, x()).params if p.name.startswith("d.")]
    assert [(f.kind, f.op, f.reason) for f in fates] == [
        (FateKind.NONE, None, FateReason.UNUSED)
    ] * 2


def test_layers_in_a_plain_list_are_unregistered() -> None:
    class Listed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers, self.head = [nn.Linear(8, 8), nn.Linear(8, 8)], nn.Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            for layer in self.layers:
                x = layer(x).relu()
            return self.head(x)

    trace = probe(Listed(), x())
    kinds = kinds_of(trace)
    assert [name for name, kind in kinds.items() if kind is FateKind.UNREGISTERED] == [
        f"layers.{i}.{what}" for i in (0, 1) for what in ("weight", "bias")
    ]
    assert kinds["head.weight"] is FateKind.MOVES


def test_what_the_optimizer_was_not_given_does_not_move() -> None:
    model = Odd("nothing")
    optimizer = torch.optim.SGD([*model.a.parameters(), *model.c.parameters()], 0.1)
    kinds = kinds_of(probe(model, x(), optimizer=optimizer))
    left_out = [name for name, kind in kinds.items() if kind is FateKind.NOT_IN_OPTIMIZER]
    assert left_out == ["b.weight", "b.bias"]
    model.b.requires_grad_(False)
    assert kinds_of(probe(model, x(), optimizer=optimizer))["b.bias"] is FateKind.FROZEN


@pytest.mark.parametrize("name", KNOWN)
def test_fates_are_those_of_a_plain_step(name: str) -> None:
    torch.manual_seed(0)
    model, inputs = KNOWN[name].make()
    if KNOWN[name].probing.get("mode"):
        pytest.skip("a plain step in the model's own mode")
    torch.manual_seed(3)
    trace = probe(model, inputs, params=name == "float16 underflows")
    assert kinds_of(trace) == plain_kinds(model, inputs)


class Merged(nn.Module):
    """A branch behind a gate, then a frozen map with a low-rank addition, merged before it is
    used; each factor may be 0."""

    def __init__(self, zeros: str):
        super().__init__()
        torch.manual_seed(0)
        self.branch, self.frozen = nn.Linear(8, 8), nn.Parameter(torch.randn(8, 8))
        self.frozen.requires_grad_(False)
        self.a, self.b = nn.Parameter(torch.randn(2, 8)), nn.Parameter(torch.randn(8, 2))
        self.gate = nn.Parameter(torch.ones(1))
        for name, p in self.named_parameters():
            if name.split(".")[0] in zeros.split():
                nn.init.zeros_(p)

    def forward(self, x: Tensor) -> Tensor:
        y = x + torch.tanh(self.gate) * self.branch(x)
        return y @ (self.frozen + self.b @ self.a)


@pytest.mark.parametrize(
    ("zeros", "waits", "never"),
    [
        ("", set(), set()),
        ("b", {"a"}, set()),
        ("a b", set(), {"a", "b"}),
        ("gate", {"branch.weight", "branch.bias"}, set()),
        ("branch", {"gate"}, set()),
        ("gate branch", set(), {"gate", "branch.weight", "branch.bias"}),
    ],
)
def test_what_is_0_learns_first_unless_all_factors_are(
    zeros: str, waits: set[str], never: set[str]
) -> None:
    trace = probe(Merged(zeros), x())
    fates = {p.name: p.fate for p in trace.params}
    none = {name for name, fate in fates.items() if fate.kind is FateKind.ZERO}
    assert {name for name in none if fates[name].reason is FateReason.WAITS} == waits
    assert none - waits == never
    assert kinds_of(trace) == plain_kinds(Merged(zeros), x())


class Curved(nn.Module):
    """The second derivative of a network by its input."""

    def __init__(self, activation: type[nn.Module]):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(8, 8), activation(), nn.Linear(8, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            x = x.clone().requires_grad_()
            (slope,) = torch.autograd.grad(self.net(x).sum(), x, create_graph=True)
            (bend,) = torch.autograd.grad(slope.sum(), x, create_graph=True)
        return bend + x


@pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU])
def test_a_second_derivative_moves_what_it_reads(activation: type[nn.Module]) -> None:
    trace = probe(Curved(activation), x())
    moved = [name for name, kind in kinds_of(trace).items() if kind is FateKind.MOVES]
    kinds = plain_kinds(Curved(activation), x())
    assert moved == [name for name, kind in kinds.items() if kind is FateKind.MOVES]
    assert bool(moved) is (activation is nn.Tanh)


def test_a_rounded_weight_and_one_that_leaves_torch_say_so() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.rounded, self.scale = nn.Parameter(torch.randn(8, 8)), nn.Parameter(torch.ones(()))
            self.masked = nn.Parameter(torch.randn(1, 8))

        def forward(self, x: Tensor) -> Tensor:
            y = x @ self.rounded.round() * self.scale.item()
            return torch.cat([y, self.masked])[: len(x)]

    fates = {p.name: (p.fate.kind, p.fate.reason) for p in probe(Net(), x()).params}
    assert fates == {
        "rounded": (FateKind.ZERO, FateReason.ROUNDED),
        "scale": (FateKind.NONE, FateReason.OUTSIDE),
        "masked": (FateKind.ZERO, FateReason.MASKED),
    }


class OnlyWithGradients(nn.Module):
    """Runs only on inputs that require gradients, as a custom Function of its own may ask."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        if not x.requires_grad:
            raise RuntimeError("this needs a gradient")
        return self.used(ReversedGradient.apply(x))  # type: ignore[arg-type]


class ReversedGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *g: Tensor) -> Tensor:
        return -g[0]


def test_a_model_that_does_not_run_plainly_keeps_the_fates_of_the_probe() -> None:
    model = OnlyWithGradients()
    before = state(model)
    kinds = kinds_of(probe(model, x()))
    assert state(model) == before
    assert kinds["used.weight"] is FateKind.MOVES
    assert kinds["unused.weight"] is FateKind.NONE
