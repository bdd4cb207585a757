"""Hostile circumstances: precisions, autocast, contexts, threads, exceptions, odd tensors."""

import random
import threading
from collections import defaultdict
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from depthscale._probe import probe
from depthscale.errors import InvalidProbe
from depthscale.run import Run
from probe.checks import kinds, probed, state


def x(*shape: int) -> Tensor:
    return torch.randn(*(shape or (4, 6)), generator=torch.Generator().manual_seed(1))


def mlp(layers: int = 3, width: int = 6) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        *(
            m
            for _ in range(layers)
            for m in (nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU())
        )
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_models_of_every_precision(dtype: torch.dtype) -> None:
    trace = probed(mlp().to(dtype), x().to(dtype))
    assert {op.dtype for op in trace.ops} == {str(dtype).removeprefix("torch.")}


def test_autocast_is_seen_as_it_runs() -> None:
    class Cast(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = mlp(), nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            with torch.autocast("cpu", torch.bfloat16):
                h = self.body(x)
            return self.head(h.float())

    trace = probed(Cast(), x())
    assert [op.dtype for op in trace.ops if op.op == "linear"] == ["bfloat16"] * 3 + ["float32"]
    with torch.autocast("cpu", torch.bfloat16):
        outside = probed(mlp(), x())
    assert outside["0"].dtype == "bfloat16"


class Complex(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(
            torch.randn(6, 6, dtype=torch.complex64, generator=torch.Generator().manual_seed(2))
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.ifft(torch.fft.fft(x) @ self.w).abs()


def test_complex_parameters() -> None:
    trace = probed(Complex(), x(), params=True)
    assert [op.dtype for op in trace.ops][1] == "complex64"
    found = trace.params[0]
    assert found.value is not None
    assert found.gradient is not None
    assert found.value.count == found.gradient.count == 72  # real and imaginary parts


def test_complex_inputs_and_outputs() -> None:
    class Fourier(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.fft.fft(x) * 2j

    assert kinds(probed(Fourier(), torch.complex(x(), x()))) == ["fft_fft", "mul"]


@pytest.mark.parametrize("context", [nullcontext, torch.no_grad, torch.inference_mode])
def test_the_callers_context_does_not_matter(
    context: Callable[[], AbstractContextManager[Any]],
) -> None:
    model = mlp()
    with context():
        trace = probed(model, x())
        assert torch.is_grad_enabled() == (context is nullcontext)
    assert trace.coverage.ops_with_gradient == 10


def test_inputs_of_any_layout() -> None:
    model = mlp()
    probed(model, x(6, 4).t())
    probed(model, x(6).expand(4, 6))
    probed(model, x(4, 12)[:, ::2])
    with torch.inference_mode():
        made = x()
    probed(model, made)


def test_a_model_made_in_inference_mode_is_refused() -> None:
    with torch.inference_mode():
        model = mlp()
    with pytest.raises(InvalidProbe, match=r"parameter 0\.weight was made in inference mode"):
        probe(model, x())


def test_a_leaf_that_requires_grad_gets_none() -> None:
    leaf = x().requires_grad_()
    probed(mlp(), leaf)
    assert leaf.grad is None
    assert leaf.requires_grad
    assert leaf._version == 0


def test_the_users_input_is_not_written_to() -> None:
    class Writes(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mul_(2).relu_()

    mine = x()
    probed(Writes(), mine)
    assert torch.equal(mine, x())


def test_one_tensor_given_twice_is_one_input() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(6, 6)

        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            return self.fc(a) * b

    mine = x()
    assert len(probed(Both(), (mine, mine)).sources) == 1
    assert len(probed(Both(), (mine, mine.clone())).sources) == 2
    assert [op.name for op in probed(Both(), {"b": mine, "a": x(4, 6)}).ops[:2]] == ["b", "a"]


@dataclass(frozen=True)
class Sample:
    values: Tensor
    name: str = ""


class Takes(nn.Module):
    def __init__(self, pick: Callable[[Any], Tensor]):
        super().__init__()
        self.fc, self.pick = nn.Linear(6, 6), pick

    def forward(self, given: Any) -> Tensor:
        return self.fc(self.pick(given))


def filed(values: Tensor) -> defaultdict[str, Tensor]:
    found: defaultdict[str, Tensor] = defaultdict(torch.Tensor)
    found["x"] = values
    return found


@pytest.mark.parametrize(
    ("given", "pick"),
    [
        (Sample(x()), lambda s: s.values),
        (filed(x()), lambda d: d["x"]),
        ([[x()], 3], lambda many: many[0][0]),
        (torch.nn.utils.rnn.pack_sequence([x(4, 6), x(3, 6)]), lambda packed: packed.data),
    ],
)
def test_inputs_inside_others_are_sources_too(given: Any, pick: Callable[[Any], Tensor]) -> None:
    mine = pick(given)
    trace = probed(Takes(pick), (given,))
    assert [trace.ops[op].op for op, _ in trace.sources] == ["input"]
    assert pick(given) is mine
    assert not mine.requires_grad


def test_an_input_that_is_ignored_is_no_source() -> None:
    class Ignores(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(6, 6)

        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            return self.fc(a)

    trace = probed(Ignores(), (x(), x(2)))
    assert [trace.ops[op].name for op, _ in trace.sources] == ["input.0"]
    assert trace["input.1"].gradient is None


class Raises(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.noise = mlp(), nn.Dropout(0.5)
        self.broken = nn.Identity()
        self.broken.forward = self.fail  # type: ignore[method-assign]

    def fail(self, x: Tensor) -> Tensor:
        random.random()
        np.random.rand()  # noqa: NPY002
        raise ZeroDivisionError("the user's own")

    def forward(self, x: Tensor) -> Tensor:
        self.left_behind = self.noise(self.body(x))
        self.body[0].weight.data.mul_(2)  # type: ignore[union-attr, operator]
        self.body[0].requires_grad_(False)  # type: ignore[union-attr]
        self.eval()
        return self.broken(self.left_behind)


def test_after_a_raise_all_is_as_before() -> None:
    model = Raises()
    before = state(model)
    with pytest.raises(ZeroDivisionError, match="the user's own") as caught:
        probe(model, x())
    assert state(model) == before
    assert caught.value.__notes__ == ["while probing, in broken (Identity)"]


def test_a_raise_in_the_backward_pass_too() -> None:
    class Bad(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x * 2

        @staticmethod
        def backward(ctx: Any, *grads: Tensor) -> Tensor:
            raise ZeroDivisionError("backward")

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = mlp()

        def forward(self, x: Tensor) -> Tensor:
            return Bad.apply(self.body(x)) + 1  # type: ignore[operator]

    model = Net()
    before = state(model)
    with pytest.raises(ZeroDivisionError, match="backward"):
        probe(model, x())
    assert state(model) == before


def test_what_keeps_everything_after_an_interrupt() -> None:
    class Interrupted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = mlp()

        def forward(self, x: Tensor) -> Tensor:
            self.body(x)
            raise KeyboardInterrupt

    model = Interrupted()
    before = state(model)
    with pytest.raises(KeyboardInterrupt):
        probe(model, x())
    assert state(model) == before


def in_threads(*runs: Callable[[], Run]) -> list[Run]:
    found: dict[int, Run] = {}
    together = threading.Barrier(len(runs))

    def start(i: int) -> None:
        together.wait()
        found[i] = runs[i]()

    threads = [threading.Thread(target=start, args=(i,)) for i in range(len(runs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[i] for i in range(len(runs))]


@pytest.mark.parametrize("same", [False, True])
def test_two_threads_do_not_meet(same: bool) -> None:
    a = mlp(20)
    b = a if same else mlp(20)
    before, alone = state(a), probe(a, x())
    for one in in_threads(lambda: probe(a, x()), lambda: probe(b, x())):
        assert [op.name for op in one.ops] == [op.name for op in alone.ops]
        assert [op.log2_gradient_norm2 for op in one.ops] == [
            op.log2_gradient_norm2 for op in alone.ops
        ]
    assert state(a) == before


def test_a_model_on_another_device_is_refused() -> None:
    with pytest.raises(InvalidProbe, match=r"on meta and has no values|is on the meta device"):
        probe(mlp().to("meta"), x())
    with pytest.raises(InvalidProbe, match=r"the model is on cpu and its inputs on meta"):
        probe(mlp(), x().to("meta"))


def test_inputs_of_the_wrong_shape_or_type_end_in_the_models_own_words() -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied") as caught:
        probe(mlp(), x(4, 7))
    assert caught.value.__notes__ == ["while probing, in 0 (Linear)"]
    with pytest.raises(RuntimeError, match="dtype"):
        probe(mlp(), torch.arange(24).reshape(4, 6))
    with pytest.raises(TypeError, match="positional argument"):
        probe(mlp(), (x(), x()))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"mode": "training"}, "mode must be train, eval or None"),
        ({"loss": "mse"}, "loss must be one of independent, shared"),
        ({"repeats": 0}, "repeats must be a whole number"),
        ({"loss_scale": 3.0}, "loss_scale must be a power of two"),
        ({"loss_scale": inf}, "loss_scale must be a power of two"),
        ({"seed": "a"}, "seed must be a whole number"),
        ({"seed": 2**64}, "seed must be a whole number from 0 up to what torch takes"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"repeats": True}, "repeats must be a whole number"),
        ({"loss": lambda y: y}, "loss= must return one number"),
        ({"output": "logits"}, "no 'logits'"),
    ],
)
def test_wrong_settings_are_refused_with_what_to_do(settings: dict[str, Any], says: str) -> None:
    model = mlp()
    before = state(model)
    with pytest.raises(InvalidProbe, match=says):
        probe(model, x(), **settings)
    assert state(model) == before


def test_numbers_of_numpy_are_numbers() -> None:
    theirs: dict[str, Any] = {
        "repeats": np.int64(2),
        "seed": np.int64(3),
        "loss_scale": np.float32(8),
    }
    one, other = probe(mlp(), x(), repeats=2, seed=3, loss_scale=8.0), probe(mlp(), x(), **theirs)
    assert [op.log2_gradient_norm2 for op in one.ops] == [
        op.log2_gradient_norm2 for op in other.ops
    ]
    assert (other.passes, other.seed) == (2, 3)


@pytest.mark.parametrize("made", [nn.Linear, lambda width: mlp()])
def test_a_function_that_asks_for_arguments_is_refused(made: Callable[..., nn.Module]) -> None:
    with pytest.raises(
        InvalidProbe,
        match=r"without arguments, .* asks for some .*; give a model, or lambda: "
        r"(Linear|make)\(\.\.\.\)",
    ):
        probe(made, x())


def test_whatever_draws_the_weights_follows_the_seed_and_goes_on_as_before() -> None:
    def drawn() -> nn.Module:
        model = nn.Linear(6, 6)
        nn.init.constant_(model.bias, random.random())
        model.weight.data = torch.from_numpy(np.random.randn(6, 6)).float()  # noqa: NPY002
        return model

    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    expected = random.random(), np.random.rand()  # noqa: NPY002
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    once, again, other = (probe(drawn, x(), seed=seed) for seed in (1, 1, 2))
    assert (random.random(), np.random.rand()) == expected  # noqa: NPY002
    assert once.ops[1].weights == again.ops[1].weights
    assert [a != b for a, b in zip(once.ops[1].weights, other.ops[1].weights, strict=True)] == [
        True,
        True,
    ]


@pytest.mark.parametrize(
    "run",
    [lambda x: x.argmax(1), lambda x: x.detach() * 2, lambda x: "words", lambda x: torch.ones(3)],
)
def test_nothing_to_differentiate_is_said(run: Callable[[Tensor], Any]) -> None:
    class Net(nn.Module):
        def forward(self, x: Tensor) -> Any:
            return run(x)

    with pytest.raises(InvalidProbe, match=r"differentiate|no gradient"):
        probe(Net(), x())


def test_no_module_is_refused() -> None:
    with pytest.raises(InvalidProbe, match=r"probe takes a torch\.nn\.Module"):
        probe("a model", x())  # type: ignore[arg-type]


def test_modes_are_taken_and_given_back() -> None:
    model = mlp()
    assert probed(model, x(), mode="eval").mode == "eval"
    assert probed(model, x()).mode == "train"
    model[1].eval()
    assert probed(model, x()).mode == "mixed"
