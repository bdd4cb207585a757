"""What an optimizer's step does to each weight is what it does on a deep copy, and model and
optimizer are as before."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from depthscale import InvalidProbe, probe
from depthscale._probe.turning import turned
from depthscale.run import Invariance, Turn
from probe.checks import state
from probe.zoo import ZOO
from training.steps import (
    OPTIMIZERS,
    angle,
    called,
    copies,
    norm,
    relative,
    seeded,
    trained,
    waves,
)

NEAR = 1e-6


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TRANSFORMERS_VERBOSITY", "error")


def built(name: str) -> tuple[nn.Module, Any]:
    torch.manual_seed(0)
    try:
        model, inputs = ZOO[name]()
    except ImportError as missing:
        pytest.skip(f"not installed: {missing.name}")
    return model.train(), inputs


def begun(model: nn.Module, make: Any, gradients: Sequence[Tensor | None]) -> torch.optim.Optimizer:
    """An optimizer that has a state already, of a step with a rate of almost 0."""
    optimizer = make(trained(model))
    rates = [group["lr"] for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group["lr"] = 1e-12
    for p, g in zip(trained(model), gradients, strict=True):
        p.grad = None if g is None else g.flip(0).clone()
    optimizer.step()
    optimizer.zero_grad()
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    return optimizer


def bits(value: Any) -> Any:
    """What an optimizer's state_dict holds, in a form that compares."""
    if isinstance(value, Tensor):
        return value.detach().clone().numpy().tobytes(), str(value.dtype)
    if isinstance(value, dict):
        return {key: bits(each) for key, each in value.items()}
    return [bits(each) for each in value] if isinstance(value, list | tuple) else value


def agrees(turn: Turn, before: Tensor, after: Tensor) -> bool:
    if not norm(before):
        return turn.degrees != turn.degrees
    growth = norm(after) / norm(before)
    return (
        abs(turn.relative - relative(before, after)) <= NEAR * max(1, turn.relative)
        and abs(turn.degrees - angle(before, after)) <= NEAR
        and abs(turn.norm_growth - growth) <= NEAR * max(1, growth)
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ZOO)
def test_every_optimizers_step_is_that_on_a_deep_copy(name: str) -> None:
    model, inputs = built(name)
    found = torch.autograd.grad(waves(called(model, inputs)), trained(model), allow_unused=True)
    gradients = list(found)
    names = [n for n, p in model.named_parameters() if p.requires_grad]
    for make in OPTIMIZERS.values():
        optimizer = begun(model, make, gradients)
        twin, other = copies(model, optimizer, make)
        for p, g in zip(trained(twin), gradients, strict=True):
            p.grad = None if g is None else g.clone()
        other.step()
        before, kept = state(model), bits(optimizer.state_dict())
        rows = zip(names, trained(model), gradients, strict=True)
        step, turns = turned(optimizer, [(n, p, g) for n, p, g in rows if g is not None])
        assert not step.refused
        assert not step.is_coupled
        assert state(model) == before
        assert bits(optimizer.state_dict()) == kept
        after = dict(twin.named_parameters())
        wrong = [
            n
            for n, turn in turns.items()
            if not agrees(turn, dict(model.named_parameters())[n], after[n])
        ]
        assert wrong == []
        assert len(turns) == sum(g is not None for g in gradients)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "which"), list(zip(ZOO, list(OPTIMIZERS) * 9, strict=False)))
def test_a_probe_tells_the_step_of_a_training_loop(name: str, which: str) -> None:
    model, inputs = built(name)
    make = OPTIMIZERS[which]
    optimizer = make(trained(model))
    twin, other = copies(model, optimizer, make)
    waves(called(twin, inputs)).backward()
    other.step()
    seeded()
    before = state(model)
    run = probe(model, inputs, loss=waves, optimizer=optimizer)
    assert state(model) == before
    weights, after = dict(model.named_parameters()), dict(twin.named_parameters())
    turns = {p.name: p.turn for p in run.params if p.turn is not None}
    assert [n for n, turn in turns.items() if not agrees(turn, weights[n], after[n])] == []
    moved = [n for n, p in twin.named_parameters() if not torch.equal(p, weights[n])]
    assert set(moved) <= set(turns)


def test_a_step_that_is_a_little_wrong_is_seen() -> None:
    w = torch.randn(8, 8)
    after = w + 0.1 * torch.randn(8, 8)
    (turn,) = [t for t in _turned(_Set(after), w).values()]
    assert agrees(turn, w, after)
    assert not agrees(turn, w, w + 1.0001 * (after - w))


class _Set(torch.optim.Optimizer):
    """Sets its tensor to a value."""

    def __init__(self, value: Tensor):
        self.value = value
        super().__init__([nn.Parameter(torch.zeros(1))], {"lr": 1.0})

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                p.data.copy_(self.value)


def _turned(optimizer: torch.optim.Optimizer, w: Tensor) -> dict[str, Turn]:
    p = nn.Parameter(w.clone())
    optimizer.param_groups[0]["params"] = [p]
    return turned(optimizer, [("w", p, torch.ones_like(w))])[1]


# ---- optimizers that are not torch's plain ones


def stack(depth: int = 3, width: int = 16) -> nn.Sequential:
    parts = [
        part
        for _ in range(depth)
        for part in (nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU())
    ]
    return nn.Sequential(*parts, nn.Linear(width, 4))


def x() -> Tensor:
    return torch.randn(8, 16, generator=torch.Generator().manual_seed(1))


class Clipped(torch.optim.SGD):
    """Clips the norm over all tensors."""

    def step(self, closure: Any = None) -> Any:  # type: ignore[override]
        nn.utils.clip_grad_norm_([p for g in self.param_groups for p in g["params"]], 0.01)
        return super().step(closure)


class Ahead(torch.optim.Optimizer):
    """Holds another optimizer, whose groups are its own, and takes half of its step."""

    def __init__(self, inner: torch.optim.Optimizer):
        super().__init__(inner.param_groups, inner.defaults)
        self.inner, self.param_groups, self.state = inner, inner.param_groups, inner.state

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        before = [p.detach().clone() for g in self.param_groups for p in g["params"]]
        self.inner.step()
        after = (p for g in self.param_groups for p in g["params"])
        for p, b in zip(after, before, strict=True):
            p.data.lerp_(b, 0.5)


class Sharp(torch.optim.Optimizer):
    """Computes the loss again inside its step."""

    def __init__(self, params: Any):
        super().__init__(params, {"lr": 0.1})

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        assert closure is not None, "needs a closure"


ODD: dict[str, tuple[Callable[[list[nn.Parameter]], torch.optim.Optimizer], bool]] = {
    "clipped": (lambda ps: Clipped(ps, lr=0.1), True),
    "ahead": (lambda ps: Ahead(torch.optim.AdamW(ps, lr=0.1)), False),
    "rmsprop": (lambda ps: torch.optim.RMSprop(ps, lr=0.01, momentum=0.9), False),
    "muon": (lambda ps: torch.optim.Muon([p for p in ps if p.dim() == 2], lr=0.02), False),
    "foreach": (lambda ps: torch.optim.Adam(ps, lr=0.02, foreach=True), False),
    "adafactor": (lambda ps: torch.optim.Adafactor(ps, lr=0.02), False),
}


@pytest.mark.parametrize("which", ODD)
def test_other_code_is_stepped_as_it_steps(which: str) -> None:
    make, is_coupled = ODD[which]
    torch.manual_seed(0)
    model = stack()
    optimizer = make(trained(model))
    twin = deepcopy(model)
    waves(twin(x())).backward()
    make(trained(twin)).step()
    before, kept = state(model), bits(optimizer.state_dict())
    run = probe(model, x(), loss=waves, optimizer=optimizer)
    assert run.step is not None
    assert run.step.is_coupled == is_coupled
    assert state(model) == before
    assert bits(optimizer.state_dict()) == kept
    weights, after = dict(model.named_parameters()), dict(twin.named_parameters())
    turns = {p.name: p.turn for p in run.params if p.turn is not None}
    assert turns
    assert [n for n, turn in turns.items() if not agrees(turn, weights[n], after[n])] == []


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda ps: torch.optim.LBFGS(ps), "LBFGS"),
        (lambda ps: Sharp(ps), "needs a closure"),
        (lambda ps: torch.optim.SGD(ps, lr=0.0), "rate of SGD is 0"),
    ],
)
def test_what_cannot_be_stepped_is_refused_by_name(make: Any, why: str) -> None:
    model = stack()
    run = probe(model, x(), loss=waves, optimizer=make(trained(model)))
    assert run.step is not None
    assert why in run.step.refused
    assert all(p.turn is None for p in run.params)


def test_neither_hooks_nor_a_schedule_run_and_no_step_is_counted() -> None:
    model = stack()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: 1.0)  # sets a step of its own
    ran: list[str] = []
    optimizer.register_step_pre_hook(lambda *_: ran.append("own"))
    handle = register_optimizer_step_post_hook(lambda *_: ran.append("all"))
    try:
        run = probe(model, x(), loss=waves, optimizer=optimizer)
    finally:
        handle.remove()
    assert run.step is not None
    assert run.step.hooks == 1
    assert not run.step.refused
    assert ran == []
    assert not getattr(optimizer, "_opt_called", False)


def test_momentum_multiplies_what_is_sustained() -> None:
    for momentum in (0.0, 0.9, 0.99):
        model = stack()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=momentum)
        step = probe(model, x(), loss=waves, optimizer=optimizer).step
        assert step is not None
        assert step.sustained == pytest.approx(1 / (1 - momentum), rel=1e-2)


def test_the_rate_that_turns_by_45_degrees_does() -> None:
    model = stack()
    make = OPTIMIZERS["decay"]
    run = probe(model, x(), loss=waves, optimizer=make(trained(model)))
    turn = run.params[0].turn
    assert turn is not None
    optimizer = make(trained(model))
    optimizer.param_groups[0]["lr"] *= turn.limit
    again = probe(model, x(), loss=waves, optimizer=optimizer).params[0].turn
    assert again is not None
    assert again.degrees == pytest.approx(45, abs=1e-3)


# ---- scale invariance, by how a network is built


def kinds(model: nn.Module, inputs: Any) -> dict[str, Invariance]:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    weights = torch.randn(64, generator=torch.Generator().manual_seed(2))

    def loss(output: Tensor) -> Tensor:
        rows = output.flatten(1)
        return (rows * weights.repeat(rows.shape[1] // 64 + 1)[: rows.shape[1]]).tanh().mean()

    run = probe(model, inputs, loss=loss, optimizer=optimizer)
    return {p.name: p.turn.invariance for p in run.params if p.turn is not None}


class Transposed(nn.Module):
    """A linear map whose weight is [in, out]."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(16, 24) / 4)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight


@pytest.mark.parametrize(
    ("first", "norm", "expected"),
    [
        (lambda: nn.Linear(16, 24), lambda: nn.BatchNorm1d(24), Invariance.ROWS),
        (lambda: nn.Linear(16, 24, bias=False), lambda: nn.LayerNorm(24), Invariance.WHOLE),
        (lambda: nn.Linear(16, 24, bias=False), lambda: nn.RMSNorm(24), Invariance.WHOLE),
        (lambda: nn.Linear(16, 24), lambda: nn.Identity(), Invariance.NONE),
        (
            lambda: nn.Linear(16, 24),
            lambda: nn.BatchNorm1d(24, momentum=0.5).eval(),
            Invariance.NONE,
        ),
        (Transposed, lambda: nn.BatchNorm1d(24), Invariance.COLUMNS),
    ],
)
def test_what_a_norm_hides_is_measured(first: Any, norm: Any, expected: Invariance) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(first(), norm(), nn.Tanh(), nn.Linear(24, 8))
    found = kinds(model, torch.randn(32, 16))
    assert found["0.weight"] is expected
    assert found["3.weight"] is Invariance.NONE


def test_in_eval_mode_no_step_is_taken() -> None:
    model = stack().eval()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    assert probe(model, x(), loss=waves, optimizer=optimizer).step is None


def test_a_cotangent_is_no_loss() -> None:
    model = stack()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    assert probe(model, x(), optimizer=optimizer).step is None
    with pytest.raises(InvalidProbe):
        probe(model, x(), optimizer="sgd")  # type: ignore[arg-type]
