"""Hostile modules: wrappers, checkpoints, compiled and scripted code, hooks, parametrizations,
recurrent and fused ones."""

import re
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

from depthscale._probe import probe
from depthscale.errors import InvalidProbe
from depthscale.run import Probed
from probe.checks import kinds, probed, state


def x(*shape: int) -> Tensor:
    return torch.randn(*(shape or (4, 6)), generator=torch.Generator().manual_seed(1))


def mlp(*between: nn.Module, layers: int = 3, width: int = 6) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        *(m for _ in range(layers) for m in (nn.Linear(width, width), *map(deepcopy, between)))
    )


class Checkpointed(nn.Module):
    def __init__(self, body: nn.Module, **settings: Any):
        super().__init__()
        self.body, self.settings = body, settings

    def forward(self, x: Tensor) -> Tensor:
        return (
            checkpoint(self.body, x, **self.settings).sin() if self.settings else self.body(x).sin()
        )


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpoints_are_seen_inside(reentrant: bool) -> None:
    body = mlp(nn.Tanh(), nn.Dropout(0.5))
    plain = probed(Checkpointed(body), x())
    trace = probed(Checkpointed(body, use_reentrant=reentrant), x())
    assert kinds(trace) == kinds(plain)
    assert [op.name for op in trace.ops] == [op.name for op in plain.ops]
    assert [op.log2_gradient_norm2 for op in trace.ops] == [
        op.log2_gradient_norm2 for op in plain.ops
    ]


def test_a_compiled_model_runs_as_written() -> None:
    model = mlp(nn.ReLU())
    compiled: Any = torch.compile(model, backend="eager")
    assert [op.name for op in probed(compiled, x()).ops] == [
        op.name for op in probed(model, x()).ops
    ]
    inside = mlp(nn.ReLU())
    inside[0] = torch.compile(inside[0], backend="eager")  # type: ignore[assignment]
    assert [op.name for op in probed(inside, x()).ops] == [op.name for op in probed(model, x()).ops]


class Chooses(nn.Module):
    """Runs one of two branches, as torch.cond sees fit."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.up, self.down = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x: Tensor, up: Tensor) -> Tensor:
        return torch.cond(
            up.sum() > 0, lambda t: self.up(t).relu(), lambda t: self.down(t).tanh(), (x,)
        )


def test_of_a_condition_s_branches_the_one_taken_is_seen() -> None:
    model, before = Chooses(), torch.cond
    assert kinds(probed(model, (x(), torch.tensor([1])))) == ["linear", "relu"]
    assert kinds(probed(model, (x(), torch.tensor([-1])))) == ["linear", "tanh"]
    assert torch.cond is before


class Ragged(nn.Module):
    """A linear layer on samples of different length."""

    def __init__(self, layout: torch.layout):
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.layout = nn.Linear(6, 6), layout

    def forward(self, x: Tensor) -> Tensor:
        ragged = torch.nested.as_nested_tensor([x[0, :2], x[1, :3]], layout=self.layout)
        return self.fc(ragged).to_padded_tensor(0.0)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
def test_a_nested_tensor_is_counted_by_its_parts(layout: torch.layout) -> None:
    trace = probed(Ragged(layout), x(2, 4, 6))
    made = trace["fc"]
    assert made.size == 5 * 6
    assert made.shape == (2,)
    assert made.activation is not None
    assert made.activation.count == 5 * 6
    given = x(2, 4, 6)
    layer = Ragged(layout).fc
    expected = torch.cat([layer(given[0, :2]), layer(given[1, :3])])
    assert made.activation.mean_square() == pytest.approx(
        float(expected.detach().double().square().mean()), rel=1e-6
    )


def test_data_parallel_is_looked_through() -> None:
    model = mlp(nn.ReLU())
    assert [op.name for op in probed(nn.DataParallel(model), x()).ops] == [
        op.name for op in probed(model, x()).ops
    ]


@pytest.mark.parametrize("how", ["script", "trace"])
def test_a_scripted_module_is_one_operation(how: str) -> None:
    inside = mlp(nn.ReLU())
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        scripted = (
            torch.jit.script(inside[:2]) if how == "script" else torch.jit.trace(inside[:2], x())
        )
    model = nn.Sequential(nn.Linear(6, 6), scripted, nn.Linear(6, 6))  # type: ignore[arg-type]
    trace = probed(model, x(), explained=True)
    assert trace.coverage.share == 1
    assert kinds(trace)[0] == kinds(trace)[-1] == "linear"


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(x)
        return x**3, x**2

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grads[0] * 3 * x**2 + grads[1] * 2 * x


def test_a_custom_function_is_an_operation() -> None:
    class Custom(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(6, 6)

        def forward(self, x: Tensor) -> Tensor:
            a, b = Cube.apply(self.fc(x))  # type: ignore[misc]
            return self.fc(a) + b

    trace = probed(Custom(), x())
    assert kinds(trace)[0] == "linear"
    assert "Cube" in kinds(trace)
    assert next(op for op in trace.ops if op.op == "Cube").size == 48  # both outputs
    last = nn.Sequential(nn.Linear(6, 6), Last())
    assert kinds(probed(last, x()))[-1] == "Cube"


class Last(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return Cube.apply(x)[0]  # type: ignore[misc]


@pytest.mark.parametrize("eval_mode", [False, True])
def test_an_encoder_is_seen_in_both_modes(eval_mode: bool) -> None:
    """In eval mode torch would take its fused path, which shows nothing; attention shows what it
    calls."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, 0.1, batch_first=True)
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).train(not eval_mode)
    trace = probed(model, x(2, 5, 8))
    assert kinds(trace).count("scaled_dot_product_attention") == 2
    assert kinds(trace).count("linear") == 2 * 4
    assert kinds(trace).count("layer_norm") == 4


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_nets_are_one_operation_each(kind: type[nn.LSTM]) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.out = (
                kind(6, 5, 2, batch_first=True, bidirectional=True),
                nn.Linear(10, 3),
            )

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.rnn(x)[0])

    trace = probed(Net(), x(2, 7, 6))
    assert len(kinds(trace)) == 2
    assert trace.ops[1].name == "rnn"
    assert trace.ops[1].nodes > 5


def test_attention_is_what_it_calls() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attend = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return x + self.attend(x, x, x, need_weights=False)[0]

    assert [op.name for op in probed(Net(), x(2, 5, 8)).ops] == [
        "input",
        "attend.linear",
        "attend.getitem",
        "attend.getitem#2",
        "attend.getitem#3",
        "attend.scaled_dot_product_attention",
        "attend.linear#2",
        "add",
    ]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", ["weight_norm", "spectral_norm", "orthogonal"])
def test_parametrized_weights_are_no_signal(kind: str, training: bool) -> None:
    """Spectral norm's power iteration writes to buffers in train mode."""
    model = mlp(nn.Tanh())
    for i in (0, 2):
        getattr(parametrizations, kind)(model[i])
    model(x())
    trace = probed(model.train(training), x())
    assert kinds(trace) == ["linear", "tanh"] * 3
    assert trace.coverage.share == 1


def test_old_style_weight_norm_is_restored() -> None:
    with pytest.warns(FutureWarning):
        model = nn.Sequential(torch.nn.utils.weight_norm(nn.Linear(6, 6)), nn.ReLU())
    assert kinds(probed(model, x())) == ["linear", "relu"]


def test_an_initialization_that_waits_for_data_is_undone() -> None:
    class ActNorm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.loc, self.scale = nn.Parameter(torch.zeros(6)), nn.Parameter(torch.ones(6))
            self.register_buffer("ready", torch.tensor(False))

        def forward(self, x: Tensor) -> Tensor:
            if not self.ready:
                self.loc.data.copy_(-x.mean(0))
                with torch.no_grad():
                    self.scale.div_(x.std(0))
                self.ready = torch.tensor(True)
                self.seen = len(x)
            return self.scale * (x + self.loc)

    model = nn.Sequential(nn.Linear(6, 6), ActNorm())
    trace = probed(model, x())
    norm: Any = model[1]
    assert not norm.ready
    assert not hasattr(norm, "seen")
    assert norm.scale.detach().mean() == 1
    assert trace.ops[-1].activation is not None
    assert trace.ops[-1].activation.rms() == pytest.approx((3 / 4) ** 0.5)  # its unbiased std is 1


def test_a_lazy_module_is_refused() -> None:
    model = nn.Sequential(nn.LazyLinear(4), nn.ReLU())
    with pytest.raises(
        InvalidProbe, match=r"parameter 0\.weight has no shape yet; run the model once"
    ):
        probe(model, x())
    assert isinstance(model[0], nn.LazyLinear)


def test_the_models_own_hooks_fire_once_and_in_order() -> None:
    def twice(module: nn.Module, args: Any, output: Any) -> Any:
        return output * 2

    model, fired = mlp(nn.ReLU()), []
    model[0].register_forward_pre_hook(lambda *_: fired.append("pre"))
    model[0].register_forward_hook(lambda *_: fired.append("post"))
    model.register_forward_hook(twice)
    model[2].register_full_backward_hook(lambda *_: fired.append("backward"))
    before = state(model)
    trace = probe(model, x())
    assert state(model) == before
    assert fired == ["pre", "post", "backward"]
    assert kinds(trace)[-1] == "mul"
    probed(model, x())


def test_an_optimizer_in_a_hook_never_steps() -> None:
    model = mlp(nn.ReLU())
    for p in model.parameters():
        optimizer = torch.optim.SGD([p], lr=1.0)
        p.register_post_accumulate_grad_hook(lambda p, o=optimizer: o.step())
        p.register_hook(lambda g: g * 1000)
    plain = mlp(nn.ReLU())
    trace, expected = probed(model, x(), params=True), probed(plain, x(), params=True)
    for a, b in zip(trace.params, expected.params, strict=True):
        assert a.gradient is not None
        assert b.gradient is not None
        assert a.gradient.mean_square() == b.gradient.mean_square()


def test_a_model_may_probe_its_own_part() -> None:
    class Curious(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.traces = mlp(nn.ReLU()), []

        def forward(self, x: Tensor) -> Tensor:
            found = probe(self.body, x.detach())
            assert len(found) == 7
            return self.body(x)

    assert [op.name for op in probed(Curious(), x()).ops] == [
        "input",
        *(f"body.{i}" for i in range(6)),
    ]


def test_sparse_gradients_are_counted_dense() -> None:
    model = nn.Sequential(nn.Embedding(11, 6, sparse=True), nn.Linear(6, 6))
    trace = probed(model, torch.arange(8), params=True)
    gradient = next(p for p in trace.params if p.name == "0.weight").gradient
    assert gradient is not None
    assert (gradient.count, gradient.zeros) == (66, 18)


def test_a_sparse_matrix_is_no_signal() -> None:
    class Spreads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(6, 6)
            self.register_buffer("near", (torch.eye(4) * 2).to_sparse())

        def forward(self, x: Tensor) -> Tensor:
            return torch.sparse.mm(self.near, self.fc(x)).relu()

    trace = probed(Spreads(), x())
    assert kinds(trace) == ["linear", "sparse_mm", "relu"]
    ((_, shape, ms),) = trace.ops[2].weights
    assert (shape, ms) == ((4, 4), 1.0)


def test_threads_inside_a_forward_pass_are_seen_by_their_nodes() -> None:
    class Parallel(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 6)

        def forward(self, x: Tensor) -> Tensor:
            with ThreadPoolExecutor(2) as pool:
                return pool.submit(self.a, x).result() * pool.submit(self.b, x).result()

    assert kinds(probed(Parallel(), x())) == ["Addmm", "Addmm", "mul"]


def test_frozen_parameters_stay_frozen() -> None:
    model = mlp(nn.BatchNorm1d(6), nn.ReLU())
    for p in model.parameters():
        p.requires_grad_(False)
    assert len(kinds(probed(model, x()))) == 9
    trace = probed(mlp().requires_grad_(False), x(), params=True)
    assert [p.gradient for p in trace.params] == [None] * 6


def _digest(model: nn.Module) -> str:
    origin = probe(model, torch.ones(2, 4)).origin
    assert isinstance(origin, Probed)
    return origin.environment["architecture"]


def test_an_architecture_s_digest_is_one_of_classes_names_and_shapes_and_not_of_values() -> None:
    def network(width: int = 8, last: type[nn.Module] = nn.ReLU) -> nn.Module:
        return nn.Sequential(nn.Linear(4, width), last(), nn.Linear(width, 3))

    found = _digest(network())
    assert re.fullmatch("[0-9a-f]{12}", found)
    assert _digest(network()) == found  # other weights
    assert _digest(nn.DataParallel(network())) == found
    assert _digest(network().eval()) == found
    others = [
        _digest(network(9)),
        _digest(network(last=nn.Tanh)),
        _digest(nn.Sequential(network())),
    ]
    assert len({found, *others}) == 4
