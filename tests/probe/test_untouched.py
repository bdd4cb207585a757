"""Leaving no trace: what a model may do to itself, undone; what a probe keeps, let go."""

import gc
import pickle
import random
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary

from depthscale._probe import probe
from depthscale._probe.state import model_state
from depthscale._probe.tree import walked
from depthscale.errors import InvalidProbe
from probe.checks import probed, state


def x(*shape: int) -> Tensor:
    return torch.randn(*(shape or (16, 8)), generator=torch.Generator().manual_seed(1))


def trained(layers: int = 2) -> nn.Sequential:
    """A model in the middle of its life: gradients, running statistics, dropout, hooks of every
    kind."""
    torch.manual_seed(0)
    model = nn.Sequential(
        *(
            m
            for _ in range(layers)
            for m in (nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU(inplace=True), nn.Dropout(0.3))
        )
    )
    model(x()).sum().backward()
    model[0].register_forward_hook(lambda *_: None)
    model[0].register_forward_pre_hook(lambda *_: None)
    model[4].register_full_backward_hook(lambda *_: None)
    model[1].register_state_dict_post_hook(lambda *_: None)
    next(model.parameters()).register_hook(lambda g: None)
    next(model.parameters()).register_post_accumulate_grad_hook(lambda p: None)
    model[4].requires_grad_(False)
    model[5].eval()
    return model


@pytest.mark.parametrize(
    "settings",
    [{}, {"params": True}, {"repeats": 2}, {"mode": "eval"}, {"mode": "train"}, {"loss": "shared"}],
)
def test_a_model_in_the_middle_of_its_life(settings: dict[str, Any]) -> None:
    probed(trained(), x(), **settings)


def test_the_check_would_notice() -> None:
    """The twin: each kind of change that `state` must see."""
    changes = [
        lambda m: m[0].weight.data.mul_(1 + 2**-20),
        lambda m: m[1].running_mean.add_(1e-6),
        lambda m: m[0].weight.grad.add_(1e-6),
        lambda m: setattr(m[0].weight, "grad", None),
        lambda m: m[0].weight.requires_grad_(False),
        lambda m: m[2].eval(),
        lambda m: setattr(m[2], "seen", 1),
        lambda m: m[0].register_forward_hook(print),
        lambda m: m[0]._forward_hooks.clear(),
        lambda m: m[0].weight.register_hook(print),
        lambda m: setattr(m[0].weight, "data", m[0].weight.data.clone()),
        lambda m: m.append(nn.ReLU()),
        lambda m: torch.rand(1),
    ]
    for change in changes:
        model = trained()
        before = state(model)
        change(model)
        assert state(model) != before


def test_a_plain_model_pickles_as_before() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU())
    before = pickle.dumps(model)
    probed(model, x(), params=True)
    assert pickle.dumps(model) == before


class Restless(nn.Module):
    """Changes itself on every pass, in every way that a module's attributes allow."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.extra = nn.Linear(8, 8), nn.Linear(8, 8)
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("table", torch.zeros(2))
        self.register_buffer("sparse", torch.eye(3).to_sparse())
        self.history: list[float] = []
        self.cache: dict[str, Tensor] = {"kept": torch.ones(1)}
        self.names = {"a", "b"}
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.history.append(1.0)
        self.cache["new"] = x
        del self.cache["kept"]
        self.names.add("c")
        self.count = self.count + 1
        self.table.data = torch.ones(3)
        self.latest = x
        h = self.fc(x) + self.extra(x)
        self.fc.weight.data = self.fc.weight.data + 1
        self.fc.bias.data.zero_()
        torch._foreach_mul_([self.extra.weight.data, self.extra.bias.data], 2)  # pyright: ignore[reportPrivateImportUsage]
        del self.extra
        self.added = nn.Linear(2, 2)
        return h


def test_a_restless_model_is_put_back() -> None:
    torch.manual_seed(0)
    model = Restless()
    before = state(model)
    probe(model, x(), verify=True)
    assert state(model) == before
    assert model.history == []
    assert list(model.cache) == ["kept"]
    assert model.names == {"a", "b"}
    assert torch.equal(model.sparse.to_dense(), torch.eye(3))  # type: ignore[operator, union-attr]


class Remembers(nn.Module):
    """Keeps what a forward pass computes in plain tensors, and draws from generators of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 8)
        self.plain, self.cache = torch.zeros(8), [(torch.zeros(2, 8), torch.zeros(2, 8))]
        self.torchs = torch.Generator().manual_seed(1)
        self.pythons, self.numpys = random.Random(2), np.random.default_rng(3)

    def forward(self, x: Tensor) -> Tensor:
        h = (
            self.fc(x) * self.pythons.random()
            + self.numpys.random()
            + torch.rand((), generator=self.torchs)
        )
        self.plain += h.detach().mean(0)
        for part in self.cache[0]:
            part[0] = h.detach()[0]
        return h + self.plain + self.cache[0][0][0]


def test_plain_tensors_and_generators_are_put_back() -> None:
    model = Remembers()
    first = probe(model, x(), verify=True)
    assert first.verified
    for tensor in (model.plain, *model.cache[0]):
        assert not tensor.any()
    again = probe(model, x())
    assert [op.log2_activation_ms for op in first.ops] == [
        op.log2_activation_ms for op in again.ops
    ]


class Learns(nn.Module):
    """Takes a step of training in its forward pass."""

    def __init__(self, backward: Callable[[Tensor], None]):
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.backward = nn.Linear(8, 8), backward

    def forward(self, x: Tensor) -> Tensor:
        self.backward(self.fc(x).sum())
        torch.optim.SGD(self.parameters(), 0.1).step()
        return self.fc(x)


def test_a_step_of_training_inside_is_undone() -> None:
    model = Learns(Tensor.backward)
    probed(model, x())
    assert model.fc.weight.grad is None
    model.fc(x()).square().sum().backward()
    probed(model, x())


def test_what_could_not_be_kept_is_said() -> None:
    model = Learns(torch.autograd.backward)
    model.fc(x()).square().sum().backward()
    with pytest.raises(InvalidProbe, match=r"writes to its parameters or their \.grad"):
        probe(model, x())


def test_what_ends_with_an_exception_is_put_back() -> None:
    torch.manual_seed(0)
    model = Restless()
    before = state(model)

    def runs_and_raises() -> None:
        with model_state(walked(model), unwatched=True):
            model(x())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        runs_and_raises()
    assert state(model) == before


def live() -> set[int]:
    """Tensors of more values than the products of 32 samples have that are alive, by their
    memory."""
    gc.collect()
    alive = [
        t
        for t in gc.get_objects()
        if issubclass(type(t), Tensor) and t.numel() > 32 * 32 and t.is_floating_point()
    ]
    return {t.untyped_storage().data_ptr() for t in alive}


class Counting(nn.Module):
    """Says how many large tensors are alive when the forward pass ends, and looks at what autograd
    keeps."""

    def __init__(self, body: nn.Module):
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        out = self.body(x)
        counts.append(len(live()))
        return out * 1


counts: list[int] = []


def test_nothing_of_tensor_size_is_kept() -> None:
    """Python objects of tensors alive at the end of the forward pass: no more with the probe than
    without, in a net whose values autograd need not keep."""
    body = nn.Sequential(
        *(m for _ in range(5) for m in (nn.Linear(128, 128), nn.Dropout(0.1), nn.Hardtanh()))
    )
    model = Counting(body)
    counts.clear()
    given = x(16, 128).requires_grad_().clone()
    model(given)
    del given
    probe(model, x(16, 128))
    plain, with_probe = counts
    assert with_probe - plain <= 2  # the user's input beside its copy


def test_activations_die_when_the_model_drops_them() -> None:
    seen: list[weakref.ref[Tensor]] = []

    class Drops(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            h = x + 1  # autograd keeps nothing of an addition
            seen.append(weakref.ref(h))
            h = h + 2
            assert seen[-1]() is None
            seen.append(weakref.ref(h))
            return h + 3

    probe(Drops(), x())
    assert [ref() for ref in seen] == [None, None]


def test_after_the_probe_nothing_is_left() -> None:
    refs: list[weakref.ref[Tensor]] = []

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(
                nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()
            )

        def forward(self, x: Tensor) -> Tensor:
            out = self.body(x)
            refs.extend([weakref.ref(x), weakref.ref(out)])
            return out

    model, given = Net(), x(32, 64)
    probe(model, given)
    before = live()
    trace = probe(model, given, params=True, repeats=2)
    gc.collect()
    assert [ref() for ref in refs] == [None] * 4
    assert live() == before
    assert len(trace) == 6


def test_a_model_can_be_trained_on_after_a_probe() -> None:
    """A step of training after a probe is, bit for bit, the step without one."""
    after = []
    for probing in (False, True):
        model = trained()
        optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
        if probing:
            probe(model, x())
        torch.manual_seed(7)
        optimizer.zero_grad()
        model(x()).square().sum().backward()
        optimizer.step()
        after.append(state(model)[0:1] + [p.detach().clone() for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(after[0][1:], after[1][1:], strict=True))
    assert after[0][0] == after[1][0]


def test_weak_keys_see_the_same_parameters() -> None:
    """Parameters are the same objects afterwards, as optimizers need."""
    model = trained()
    mine = WeakIdKeyDictionary({p: i for i, p in enumerate(model.parameters())})
    probe(model, x(), params=True)
    assert [mine[p] for p in model.parameters()] == list(range(8))


class Unsure(dict):
    """A container whose truth is its own."""

    def __bool__(self) -> bool:
        return False


def test_containers_that_say_they_are_empty_are_put_back() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.notes = nn.Linear(8, 8), Unsure(a=1)

        def forward(self, x: Tensor) -> Tensor:
            self.notes["b"] = 2
            return self.fc(x)

    model = Model()
    probe(model, x())
    assert dict(model.notes.items()) == {"a": 1}


def test_a_buffer_whose_memory_was_given_back_has_it_again() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 8)
            self.register_buffer("table", torch.arange(1000.0))

        def forward(self, x: Tensor) -> Tensor:
            self.table.untyped_storage().resize_(0)  # type: ignore[union-attr, operator]
            return self.fc(x)

    model = Model()
    probe(model, x())
    assert torch.equal(model.table, torch.arange(1000.0))  # type: ignore[arg-type]


def test_hooks_that_the_forward_pass_adds_after_accumulation_are_gone() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            self.fc.weight.register_post_accumulate_grad_hook(lambda p: fired.append("added"))
            return self.fc(x)

    fired: list[str] = []
    model = Model()
    probe(model, x())
    model.fc.bias.register_post_accumulate_grad_hook(lambda p: fired.append("kept"))
    probe(model, x())
    nn.functional.linear(x(), model.fc.weight, model.fc.bias).sum().backward()
    assert fired == ["kept"]


def test_a_gradient_made_in_inference_mode_and_a_tuple_in_a_cycle() -> None:
    model, ring = nn.Linear(8, 8), []
    model.ring = (ring,)  # type: ignore[assignment]
    ring.append(model.ring)
    with torch.inference_mode():
        model.weight.grad = torch.ones(8, 8)
    probe(model, x())
    assert torch.equal(model.weight.grad, torch.ones(8, 8))  # type: ignore[arg-type]
