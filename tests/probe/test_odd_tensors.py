"""Tensors without plain memory, checkpoints of what is compiled, hooks that give once, defaults set
elsewhere."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint

from depthscale._probe import probe
from depthscale.errors import InvalidProbe
from probe.checks import probed


def x(*shape: int) -> Tensor:
    return torch.randn(*(shape or (4, 6)), generator=torch.Generator().manual_seed(1))


class Does(nn.Module):
    """A forward pass given as a function, with the modules and tensors that it needs."""

    def __init__(self, does: Callable[..., Tensor], **parts: Any):
        super().__init__()
        torch.manual_seed(0)
        self._does = does
        for name, part in parts.items():
            self.register_buffer(name, part) if isinstance(part, Tensor) else setattr(
                self, name, part
            )

    def forward(self, *given: Tensor) -> Tensor:
        return self._does(self, *given)


@pytest.mark.filterwarnings(
    "ignore:Sparse CSR"
)  # torch says so once a process, whoever comes first
def test_a_sparse_matrix_among_the_inputs() -> None:
    """As graphs are given; its own values are not differentiated."""
    model = Does(lambda self, h, a: torch.sparse.mm(a, self.fc(h)).relu(), fc=nn.Linear(6, 6))
    matrix = (x(4, 4) > 0).float()
    trace = probed(model, (x(), matrix.to_sparse()), explained=True)
    assert trace["fc"].gradient is not None
    assert probe(model, (x(), matrix.to_sparse_csr()))["fc"].gradient is not None


def test_a_nested_output_is_refused_in_words() -> None:
    model = Does(
        lambda self, h: torch.nested.as_nested_tensor([self.fc(h)], layout=torch.jagged),
        fc=nn.Linear(6, 6),
    )
    with pytest.raises(InvalidProbe, match="nested tensor; return it padded"):
        probe(model, x())


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_checkpoint_of_what_is_compiled_or_chosen(reentrant: bool) -> None:
    def chosen(h: Tensor) -> Tensor:
        return torch.cond(h.sum() > -1e9, lambda t: t.sin(), lambda t: t.cos(), (h,))

    for inside in (
        torch.compile(nn.Sequential(nn.Linear(6, 6), nn.Tanh()), backend="aot_eager"),
        chosen,
    ):
        model = Does(
            lambda self, h: checkpoint(self.inside, self.fc(h), use_reentrant=reentrant),
            fc=nn.Linear(6, 6),
        )
        model.inside = inside  # type: ignore[assignment]
        assert probe(model, x()).coverage.share == 1


def test_saved_tensors_that_are_given_once() -> None:
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> int:
        kept[len(kept)] = tensor
        return len(kept) - 1

    def forward(self: Any, h: Tensor) -> Tensor:
        kept.clear()
        with saved_tensors_hooks(pack, kept.pop):
            return F.relu(self.norm(h))

    trace = probe(Does(forward, norm=nn.BatchNorm1d(6)), x(), norms=True)
    assert trace["norm"].gradient is not None


@pytest.mark.parametrize("kind", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_weights_of_eight_bits(kind: torch.dtype) -> None:
    weight = x(6, 6).to(kind)
    trace = probe(Does(lambda self, h: F.linear(h, self.weight.to(h)), weight=weight), x())
    ((_, shape, found),) = trace.ops[-1].weights
    assert shape == (6, 6)
    assert found == pytest.approx(float(weight.double().square().mean()), rel=1e-6)


def test_a_weight_cast_to_the_type_of_the_signal_stays_a_weight() -> None:
    model = Does(
        lambda self, h: F.linear(h, self.fc.weight.type_as(h)),
        fc=nn.Linear(6, 6, bias=False).double(),
    )
    trace = probed(model, x())
    assert [op.op for op in trace.ops] == ["input", "linear"]
    assert len(trace.ops[-1].weights) == 1


def test_a_default_device_that_is_not_the_models() -> None:
    model, given = nn.Linear(6, 6), x()
    torch.set_default_device("meta")
    try:
        trace = probe(model, given)
    finally:
        torch.set_default_device(None)
    assert trace.ops[-1].gradient is not None


def test_one_network_made_again_and_again_is_one_network() -> None:
    model = nn.Sequential(*(m for _ in range(6) for m in (nn.Linear(6, 6), nn.ReLU())))
    trace = probe(lambda: model, x(), repeats=4)
    assert (trace.networks, trace.passes) == (1, 4)
    again = probe(lambda: nn.Linear(6, 6), x(), repeats=4)
    assert (again.networks, again.passes) == (4, 4)


@pytest.mark.parametrize(
    ("model", "given"),
    [
        (nn.Sequential(nn.Conv1d(3, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.ReLU()), x(4, 3, 5)),
        (nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Dropout(0.1), nn.ReLU()), x(3, 5, 5)),
        (nn.Sequential(nn.Linear(3, 8), nn.ReLU()), x(4, 5, 5, 3)),
        (nn.Sequential(nn.Linear(3, 8), nn.LayerNorm(8), nn.ReLU()), x(4, 3)),
        (nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Flatten(), nn.ReLU()), x(40, 1, 2, 2)),
    ],
    ids=[
        "conv1d and group norm",
        "an image alone",
        "linear on four axes",
        "layer norm",
        "flattened images",
    ],
)
def test_dead_units_lie_on_the_axis_of_the_map_that_made_them(
    model: nn.Sequential, given: Tensor
) -> None:
    """The first half of the map's outputs is negative whatever comes in."""
    made, norm = model[0], model[1]
    assert isinstance(made, nn.Linear | nn.Conv1d | nn.Conv2d)
    assert made.bias is not None
    units = len(made.bias)
    values = torch.arange(units) // (units // 2) * 2.0 - 1
    with torch.no_grad():
        made.weight.mul_(1e-3)
        made.bias.copy_(values)
        if isinstance(norm, nn.GroupNorm | nn.LayerNorm):
            norm.weight.zero_()
            norm.bias.copy_(values)
    assert probe(model, given, mode="eval").ops[-1].dead == 0.5


def test_no_samples_have_no_slopes_and_no_terms() -> None:
    model = nn.Sequential(nn.Linear(6, 6), nn.LayerNorm(6), nn.ReLU())
    trace = probe(model, torch.zeros(0, 6), norms=True)
    assert [(op.terms, op.slopes) for op in trace.ops] == [((), ())] * 4
