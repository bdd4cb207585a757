"""What a forward pass writes to behind the probe's back, undone."""

from collections import deque
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depthscale._probe import probe
from depthscale._probe.state import StateGuard
from probe.checks import probed


def x(*shape: int) -> Tensor:
    return torch.randn(*(shape or (4, 8)), generator=torch.Generator().manual_seed(1))


@dataclass(eq=False)
class Writer:
    """What a model keeps beside its layer, and what a forward pass does to it."""

    keeps: Callable[[nn.Module], None]
    writes: Callable[[Any, Tensor], Tensor | None]
    inputs: Callable[[], Tensor] = field(default=x)


class Model(nn.Module):
    def __init__(self, writer: Writer):
        super().__init__()
        torch.manual_seed(0)
        self.fc = nn.Linear(8, 8)
        writer.keeps(self)
        self._writes = writer.writes

    def forward(self, x: Tensor) -> Tensor:
        found = self._writes(self, x)
        return self.fc(x if found is None else found)


def halves(model: Any) -> None:
    model.k, model.v = torch.zeros(2, 4, 8).unbind(0)


def write_halves(model: Any, x: Tensor) -> None:
    model.k[:, :] = x.detach()
    model.v[:, :] = 2 * x.detach()


def flat(model: Any) -> None:
    """Two parameters that look at one buffer."""
    model.flat = torch.randn(16, generator=torch.Generator().manual_seed(2))
    model.a, model.b = nn.Parameter(model.flat[:8]), nn.Parameter(model.flat[8:])


def write_flat(model: Any, x: Tensor) -> Tensor:
    model.flat.mul_(1.5)
    return x * model.a.detach() + model.b.detach()


def scaled(model: Any, x: Tensor) -> None:
    with torch.no_grad():
        model.b.mul_(2)


def does(action: Callable[[Any, Tensor], object]) -> Callable[[Any, Tensor], None]:
    """The action, whatever it returns."""

    def write(model: Any, x: Tensor) -> None:
        action(model, x)

    return write


def attribute(name: str, value: Callable[[], Any]) -> Callable[[Any], None]:
    return lambda model: setattr(model, name, value())


def moving_average(model: Any, x: Tensor) -> None:
    model.mean.mul_(0.9).add_(x.mean(0))


WRITERS = {
    "one of two views": Writer(halves, write_halves),
    "parameters of one buffer": Writer(flat, write_flat),
    "one of two parameters": Writer(flat, scaled),
    "a renormalized embedding": Writer(
        attribute("table", lambda: nn.Embedding(9, 8, max_norm=0.1)),
        lambda model, i: model.table(i),
        inputs=lambda: torch.arange(4),
    ),
    "a bag's embedding": Writer(
        attribute("table", lambda: nn.EmbeddingBag(9, 8, max_norm=0.1)),
        lambda model, i: model.table(i),
        inputs=lambda: torch.arange(8).reshape(4, 2),
    ),
    "init": Writer(lambda model: None, does(lambda model, x: nn.init.normal_(model.fc.weight))),
    "inplace by keyword": Writer(
        attribute("t", lambda: -torch.ones(8)), lambda model, x: x + F.relu(model.t, inplace=True)
    ),
    "inplace by position": Writer(
        attribute("t", lambda: -torch.ones(8)), lambda model, x: x + F.relu(model.t, True)
    ),
    "the first argument by keyword": Writer(
        attribute("t", lambda: -torch.ones(8)),
        lambda model, x: x + torch.relu_(input=model.t),  # type: ignore[call-arg]
    ),
    "running statistics": Writer(
        lambda model: vars(model).update(mean=torch.ones(8), var=torch.ones(8)),
        lambda model, x: F.batch_norm(x, model.mean, model.var, training=True),
    ),
    "a buffer, with a gradient": Writer(
        lambda model: model.register_buffer("mean", torch.zeros(8)), moving_average
    ),
    "a frozen parameter, with a gradient": Writer(
        lambda model: model.register_parameter(
            "mean", nn.Parameter(torch.zeros(8), requires_grad=False)
        ),
        moving_average,
    ),
    "an attribute, with a gradient": Writer(
        attribute("mean", lambda: torch.zeros(8)), moving_average
    ),
    "what a buffer repeats": Writer(
        lambda model: model.register_buffer("seen", torch.zeros(8).expand(3, 8)),
        does(lambda model, x: model.seen[0].add_(x.detach().mean(0))),
    ),
    "a list in a dict": Writer(
        attribute("log", lambda: {"a": [1]}),
        lambda model, x: model.log["a"].append(model.log.setdefault("b", 2)),
    ),
    "a queue": Writer(
        attribute("log", lambda: deque([1], maxlen=2)), lambda model, x: model.log.extend([2, 3])
    ),
    "an array": Writer(attribute("log", lambda: np.ones(3)), lambda model, x: model.log.fill(2)),
    "numpy's old generator": Writer(
        attribute("rng", lambda: np.random.RandomState(0)),
        does(lambda model, x: model.rng.rand()),
    ),
    "a generator in a dict": Writer(
        attribute("rng", lambda: {"a": np.random.default_rng(0)}),
        does(lambda model, x: model.rng["a"].random()),
    ),
    "a module in a list": Writer(
        attribute("hidden", lambda: [nn.BatchNorm1d(8)]), lambda model, x: model.hidden[0](x)
    ),
    "a hook on a parameter": Writer(
        lambda model: None, does(lambda model, x: model.fc.weight.register_hook(lambda g: None))
    ),
    "an attribute of a parameter": Writer(
        lambda model: None, lambda model, x: setattr(model.fc.weight, "note", 1)
    ),
}


def seen(model: Any) -> list[Any]:
    """All that the writers touch, in values."""
    tensors = [
        *model.parameters(),
        *model.buffers(),
        *(v for v in vars(model).values() if isinstance(v, Tensor)),
    ]
    found: list[Any] = [
        (t.detach().clone().tolist(), t.requires_grad, t.grad_fn, t._backward_hooks)
        for t in tensors
    ]
    hidden = getattr(model, "hidden", [nn.Identity()])[0]
    found += [{name: value.tolist() for name, value in hidden.state_dict().items()}]
    found += [repr(getattr(model, "log", None)), sorted(vars(model)), vars(model.fc.weight).copy()]
    rng = getattr(model, "rng", None)
    rng = rng["a"] if isinstance(rng, dict) else rng
    return [
        *found,
        repr(
            rng.get_state()
            if isinstance(rng, np.random.RandomState)
            else rng and rng.bit_generator.state
        ),
    ]


@pytest.mark.parametrize("name", WRITERS)
def test_it_is_put_back(name: str) -> None:
    writer = WRITERS[name]
    model = Model(writer)
    before = seen(model)
    trace = probe(model, writer.inputs(), verify=True)
    assert trace.verified
    assert seen(model) == before
    probe(model, writer.inputs())
    assert seen(model) == before


@pytest.mark.parametrize("name", WRITERS)
def test_the_check_would_notice(name: str) -> None:
    writer = WRITERS[name]
    model = Model(writer)
    before = seen(model)
    model(writer.inputs())
    assert seen(model) != before


class Merges(nn.Linear):
    """As adapters do that are merged into the weight for inference."""

    merged = False

    def train(self, mode: bool = True):
        if self.merged is mode:
            self.weight.data.add_(-1.0 if mode else 1.0)
            self.merged = not mode
        return super().train(mode)


def test_a_model_whose_mode_changes_its_weights() -> None:
    model = nn.Sequential(Merges(8, 8), nn.ReLU())
    before = deepcopy(model.state_dict())
    probed(model, x(), mode="eval")
    assert torch.equal(model[0].weight, before["0.weight"])  # type: ignore[arg-type]
    assert not model[0].merged


def test_weights_are_copied_for_a_mode_that_is_asked_for_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Half a gigabyte of GPT-2's, whose class has a train() of its own, would be."""
    copies: list[int] = []
    monkeypatch.setattr(StateGuard, "before_any_write", lambda kept: copies.append(1))
    model = nn.Sequential(Merges(8, 8), nn.ReLU())
    probe(model, x())
    assert copies == []
    probe(model, x(), mode="train")
    assert copies == [1]


@pytest.mark.filterwarnings("ignore:.*quant")
def test_buffers_without_plain_memory() -> None:
    model = nn.Linear(8, 8)
    model.register_buffer(
        "quantized", torch.quantize_per_tensor(torch.randn(4), 0.1, 0, torch.qint8)
    )
    model.register_buffer("nowhere", torch.empty(3, device="meta"))
    trace = probe(model, x(), verify=True)
    assert trace.verified


def test_what_was_saved_for_a_backward_pass_stays_good() -> None:
    """A probe between a forward pass and its backward one, of a model with running statistics."""
    model = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU())
    given = x().requires_grad_()
    loss = model(given).square().sum()
    probe(model, x())
    loss.backward()
    assert given.grad is not None


class Overwrites(nn.Module):
    """Writes to what the backward pass of an operation needs."""

    def __init__(self, how: str):
        super().__init__()
        self.fc, self.relu, self.how = nn.Linear(8, 8), nn.ReLU(inplace=True), how

    def forward(self, x: Tensor) -> Tensor:
        y = self.fc(x)
        if self.how == "module":
            y = torch.sigmoid(y)
            return self.relu(y) + y.mul_(2)
        if self.how == "index":
            z = y * y
            y[:, 0] = 0
            return z
        y = torch.exp(y)
        y.add_(1)
        return y


@pytest.mark.parametrize(
    ("how", "writer", "needs"),
    [
        ("call", "add (add)", "exp (exp)"),
        ("index", "setitem (setitem)", "mul (mul)"),
        ("module", "relu (relu)", "sigmoid (sigmoid)"),
    ],
)
def test_who_overwrites_what_a_gradient_needs_is_named(how: str, writer: str, needs: str) -> None:
    with pytest.raises(RuntimeError, match="modified by an inplace operation") as raised:
        probe(Overwrites(how), torch.rand(4, 8))
    (note,) = raised.value.__notes__
    assert f"{writer} overwrote in place what {needs} needs" in note
