"""Traces described as graphs: theory beside real models, operation by operation."""

import math

import pytest
import torch
from torch import nn

from depthscale._probe import probe
from depthscale.network.operations import Part
from depthscale.network.spec import NetSpec
from depthscale.run import Run
from depthscale.theory import predict, predict_run
from depthscale.theory.model_graph import model_graph


def mlp(
    depth: int,
    width: int,
    norm: str | None,
    activation: type[nn.Module] = nn.ReLU,
    sigma_w2: float = 2.0,
) -> nn.Module:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for _ in range(depth):
        linear = nn.Linear(width, width, bias=False)
        nn.init.normal_(linear.weight, std=(sigma_w2 / width) ** 0.5)
        norms = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}
        layers += [linear, *([norms[norm](width)] if norm else []), activation()]
    return nn.Sequential(*layers)


def apart(trace: Run) -> list[float]:
    """log2 of measured over predicted, activations and gradients, of every operation."""
    found = predict_run(trace)
    assert found.stops == ()
    return [
        measured - predicted
        for op in trace.ops
        for measured, predicted in (
            (op.log2_activation_ms, found.ops[op.id].log2_activation_ms),
            (op.log2_gradient_ms, found.ops[op.id].log2_gradient_ms),
        )
    ]


@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_a_described_network_is_predicted_as_its_spec_is(norm: str) -> None:
    """The same numbers by two ways: NetSpec -> Graph, and model -> trace -> Graph, but for the
    weights' own sample variance."""
    trace = probe(
        mlp(6, 256, norm), torch.randn(64, 256, generator=torch.Generator().manual_seed(1))
    )
    by_trace = predict_run(trace)
    by_spec = predict(NetSpec(depth=6, width=256, norm=norm, batch=64, eps=1e-5))
    outputs = [op.id for op in trace.ops if op.op in ("input", "relu")]
    for layer, op in enumerate(outputs):
        assert by_trace.ops[op].log2_gradient_ms == pytest.approx(
            by_spec.gradient.log2_mean_square[layer], abs=0.06
        )
        assert by_trace.ops[op].log2_activation_ms == pytest.approx(
            by_spec.activation.log2_mean_square[layer], abs=0.06
        )


def test_every_operation_of_a_batch_norm_mlp_lies_near_its_prediction() -> None:
    """One network of width 256: its log2 departs by some sqrt(12.5 k / (N B)) + 1 % a layer (THEORY
    of finite width)."""
    trace = probe(
        mlp(8, 256, "batch"), torch.randn(128, 256, generator=torch.Generator().manual_seed(1))
    )
    assert max(abs(each) for each in apart(trace)) < 0.25


def test_a_network_whose_weights_depend_on_each_other_is_not() -> None:
    model = mlp(8, 256, "batch")
    with torch.no_grad():
        for layer in model.children():
            if isinstance(layer, nn.Linear):  # rows alike: the same mean square, another network
                layer.weight.copy_(layer.weight[:16].repeat(16, 1) * 0.9 + 0.436 * layer.weight)
    trace = probe(model, torch.randn(128, 256, generator=torch.Generator().manual_seed(1)))
    assert max(abs(each) for each in apart(trace)) > 0.5


class Attention(nn.Module):
    """One block of a transformer as GPT-2 has it: one map to q, k and v, split."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.maps, self.out = (
            nn.LayerNorm(width),
            nn.Linear(width, 3 * width),
            nn.Linear(width, width),
        )
        nn.init.normal_(self.maps.weight, std=0.5 * width**-0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (
            each.unflatten(-1, (4, -1)).transpose(1, 2)
            for each in self.maps(self.norm(x)).chunk(3, -1)
        )
        y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return x + self.out(y.transpose(1, 2).flatten(2))


def test_attention_on_parts_of_one_map_is_predicted() -> None:
    torch.manual_seed(0)
    trace = probe(Attention(256), torch.randn(16, 32, 256))
    found = predict_run(trace)
    assert found.stops == ()
    assert sum(isinstance(op.what, Part) for op in model_graph(trace).graph.ops) == 3
    for op in trace.ops:
        assert op.log2_activation_ms == pytest.approx(found.ops[op.id].log2_activation_ms, abs=0.15)
        assert op.log2_gradient_ms == pytest.approx(found.ops[op.id].log2_gradient_ms, abs=0.15)


class WrittenOutRMSNorm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((width,), 2.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))


def test_a_norm_written_out_in_functions_is_one_norm() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(128, 128), WrittenOutRMSNorm(128), nn.Linear(128, 128))
    trace = probe(model, torch.randn(64, 128))
    found = predict_run(trace)
    last = max(op.id for op in trace.ops if op.module == "1")
    assert found.stops == ()
    assert found.ops[last].log2_activation_ms == pytest.approx(2.0, abs=1e-4)  # gamma^2 = 4
    assert model_graph(trace).reads[last] == (1,)
    assert math.isnan(found.ops[last - 2].log2_gradient_ms)
    assert trace.ops[1].log2_gradient_ms == pytest.approx(found.ops[1].log2_gradient_ms, abs=0.3)


def test_an_operation_without_a_rule_is_named_and_what_follows_a_norm_is_known() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.norm, self.last = (
                nn.Linear(64, 64),
                nn.LayerNorm(64),
                nn.Linear(64, 64),
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(self.norm(self.first(x).cumsum(-1)))

    trace = probe(Model(), torch.randn(8, 64))
    found = predict_run(trace)
    assert any("cumsum" in said for _, said in found.stops)
    assert [found.ops[i].op for i, _ in found.stops] == ["cumsum"]
    assert [op.from_theory for op in found.ops] == [op.op != "cumsum" for op in found.ops]
    assert math.isfinite(found.ops[0].log2_gradient_ms)
    assert found.ops[trace["norm"].id].log2_activation_ms == pytest.approx(0.0, abs=1e-3)
    assert found.ops[trace["norm"].id].log2_gradient_ms == pytest.approx(
        trace["norm"].log2_gradient_ms, abs=0.3
    )


def test_a_trace_is_predicted_along_its_stations() -> None:
    trace = probe(mlp(5, 128, "batch"), torch.randn(32, 128))
    profile = predict(trace)
    assert profile.graph is trace.graph
    assert len(profile.gradient) == len(trace)
    assert profile.gradient.log2_mean_square[-1] == 0.0


class Bottleneck(nn.Module):
    """A block of the first residual networks: relu(shortcut + BN(branch)), a convolution in the
    shortcut where sizes change."""

    def __init__(self, width: int, stride: int) -> None:
        super().__init__()
        maps = [
            nn.Conv2d(width, width, k, s, k // 2, bias=False)
            for k, s in ((1, 1), (3, stride), (1, 1))
        ]
        self.branch = nn.Sequential(
            *(each for one in maps for each in (one, nn.BatchNorm2d(width), nn.ReLU())),
        )[:-1]
        same = nn.Sequential(nn.Conv2d(width, width, 1, stride, bias=False), nn.BatchNorm2d(width))
        self.shortcut = same if stride > 1 else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.shortcut(x) + self.branch(x)).relu()


def residual(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    stem = (nn.Conv2d(3, 96, 3, 1, 1, bias=False), nn.BatchNorm2d(96), nn.ReLU())
    blocks = (Bottleneck(96, 2), Bottleneck(96, 1), Bottleneck(96, 2), Bottleneck(96, 1))
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(96, 96))


def test_every_operation_of_a_residual_network_is_predicted() -> None:
    """Down to 4 x 4 positions, with zeros around them, over 12 networks."""
    rows: list[list[float]] = []
    allowed: list[float] = []
    for seed in range(12):
        images = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(seed))
        trace = probe(residual(seed), images)
        rows.append(apart(trace))
        found = predict_run(trace)
        allowed = [
            math.log2(1 + error)
            for op in trace.ops
            for error in (
                found.readings.activation.relative_stderr[op.id],
                found.readings.gradient.relative_stderr[op.id],
            )
        ]
    columns = torch.tensor(rows)
    columns[:, 1::2] -= columns[:, -1:]  # the cotangent's own departure, the same in all networks
    off, stderr = columns.mean(0).abs(), columns.std(0) / 12**0.5
    assert (off <= 4 * stderr + torch.tensor(allowed) + 0.03).all(), off
    assert off.max() < 0.2


def test_what_a_rule_leaves_out_is_told_once() -> None:
    maps = [nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)]
    said = predict_run(probe(nn.Sequential(maps[0], nn.ReLU(), maps[1]), torch.randn(4, 3, 8, 8)))
    (note,) = said.notes
    assert note.startswith("0 and 1 more: theory leaves out: zeros around the input")
    assert "theory of Sequential" in repr(said)
    assert "2^0 at the output" in repr(said)


def test_a_prediction_that_takes_measured_gains_says_so_when_it_is_printed() -> None:
    layers = nn.Linear(8, 8), nn.Softmax(-1), nn.Linear(8, 8)
    stopped, whole = (
        predict(probe(nn.Sequential(*some), torch.randn(4, 8))) for some in (layers, layers[::2])
    )
    assert repr(stopped).endswith("2^0 at the output; measured gains at 1 of 4 operations)")
    assert any("theory has no rule for softmax" in note for note in stopped.notes)
    assert "measured" not in repr(whole)
    assert "not known" not in repr(whole)
