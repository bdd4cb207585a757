"""Random networks run by hand against the same graphs and modules, differentiated by autograd."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from depthscale.errors import Undefined
from depthscale.nets import build, ensemble, evaluate, simulate
from depthscale.nets.draw import draw_cotangent, draw_input
from depthscale.nets.seen import Seen
from depthscale.network.operations import Linear
from depthscale.network.spec import NetSpec, Residual
from depthscale.sketch import Sketch
from tolerances import RELATIVE

SMALL = NetSpec(depth=4, width=24, batch=10)
SEQUENCES = [
    SMALL,
    replace(SMALL, activation="linear"),
    replace(SMALL, activation="tanh", sigma_b2=0.1),
    replace(SMALL, activation="leaky_relu(0.3)", norm="batch"),
    replace(SMALL, activation="gelu", norm="batch", gamma=0.7, beta=-0.4),
    replace(SMALL, sigma_b2=0.3, sigma_w2=1.3),
    replace(SMALL, norm="batch"),
    replace(SMALL, norm="batch", statistics="frozen"),
    replace(SMALL, norm="batch", statistics="running", eps=0.1, beta=0.3),
    replace(SMALL, norm="batch", eps=0.1, gamma=0.7, beta=-0.4, sigma_b2=0.2),
    replace(SMALL, norm="batch", eps=0.1, gamma=0.7, beta=-0.4, statistics="frozen"),
    replace(SMALL, norm="layer", position="after"),
    replace(SMALL, norm="batch", weights="orthogonal", input_variance=0.5),
    replace(SMALL, norm="layer", eps=0.1, weights="uniform"),
    replace(SMALL, norm="rms", gamma=1.2),
    replace(SMALL, norm="group", groups=3),
    replace(SMALL, norm="group_rms", groups=3, activation="tanh"),
    replace(SMALL, norm="weight_standardized"),
    replace(SMALL, norm="scaled_weight_standardized"),
    NetSpec(depth=3, widths=(24, 30, 7, 11), norm="weight", batch=10),
]
BRANCHED = [
    replace(SMALL, residual=Residual()),
    replace(SMALL, norm="batch", residual=Residual(scale=0.5, layers=2)),
    replace(SMALL, norm="layer", activation="tanh", residual=Residual(form="post")),
]
VARIANTS = SEQUENCES + BRANCHED


def autograd(spec: NetSpec, seed: int, loss: str) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Values and gradients of every operation, by torch alone."""
    values = evaluate(spec.graph(), draw_input(spec, seed).requires_grad_(), seed)
    gradients = torch.autograd.grad(values[-1], values, draw_cotangent(spec, seed, loss))
    return [x.detach() for x in values], list(gradients)


def seen_of(specs: list[NetSpec], seeds: range, loss: str) -> list[Seen]:
    found: list[Seen] = []
    ensemble.run(specs, seeds, loss, found.append)
    return found


def tensors(specs: list[NetSpec], seed: int, loss: str) -> dict[tuple[str, int, int], torch.Tensor]:
    """Every tensor that the ensemble shows, unscaled."""
    found = {}
    for seen in seen_of(specs, range(seed, seed + 1), loss):
        if seen.values is not None:
            found[seen.quantity, seen.net, seen.op] = (
                seen.values.tensor[0].double() * 2.0 ** seen.values.power[0]
            )
        found[f"log2_{seen.quantity}", seen.net, seen.op] = torch.tensor(seen.log2_ms[0])
    return found


def log2_ms(x: torch.Tensor) -> float:
    return float(x.double().square().mean().log2())


def near(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    most = RELATIVE[torch.float32] * float(theirs.abs().max())
    return torch.allclose(ours, theirs.double(), rtol=0, atol=most)


@pytest.mark.parametrize("loss", ["independent", "shared"])
@pytest.mark.parametrize("spec", VARIANTS, ids=str)
def test_every_value_gradient_and_level_is_that_of_autograd(spec: NetSpec, loss: str) -> None:
    values, gradients = autograd(spec, 3, loss)
    found = tensors([spec], 3, loss)
    for i, op in enumerate(spec.graph().ops):
        for quantity, theirs in (("activation", values[i]), ("gradient", gradients[i])):
            assert near(found[quantity, 0, i], theirs), (op.name, quantity)
            level = float(found[f"log2_{quantity}", 0, i])
            assert level == pytest.approx(log2_ms(found[quantity, 0, i]), abs=1e-9)
        if isinstance(op.what, Linear):
            variance = values[i].double().var(0, correction=0).mean().log2()
            assert float(found["log2_batch_variance", 0, i]) == pytest.approx(
                float(variance), abs=1e-4
            )


@pytest.mark.parametrize("spec", BRANCHED, ids=str)
def test_what_leaves_by_an_edge_is_what_autograd_sends(spec: NetSpec) -> None:
    """Of the operations that several read; of the others it is all of their gradient."""
    graph = spec.graph()
    _, gradients = autograd(spec, 3, "independent")
    found = tensors([spec], 3, "independent")
    adds = [i for i, op in enumerate(graph.ops) if len(op.inputs) == 2]
    for i in adds:
        stream = float(found["log2_edge", 0, graph.first_edges[i]])
        assert stream == pytest.approx(log2_ms(gradients[i]), abs=1e-4)
        branch = next(j for j in range(i) if graph.ops[i].inputs[0] in graph.ops[j].inputs)
        into = gradients[graph.ops[i].inputs[0]].double() - gradients[i].double()
        edge = float(found["log2_edge", 0, graph.first_edges[branch]])
        assert edge == pytest.approx(log2_ms(into), abs=1e-3)


@pytest.mark.parametrize("spec", SEQUENCES, ids=str)
def test_modules_compute_what_the_graph_says(spec: NetSpec) -> None:
    x = draw_input(spec, 3)
    for module, theirs in zip(build(spec, 3), autograd(spec, 3, "shared")[0][1:], strict=True):
        x = module(x)
        assert near(x.detach().double(), theirs)


@pytest.mark.parametrize("spec", VARIANTS, ids=str)
def test_seeds_side_by_side_are_what_each_is_alone(spec: NetSpec) -> None:
    together = seen_of([spec], range(2, 6), "independent")
    for row in range(4):
        alone = seen_of([spec], range(2 + row, 3 + row), "independent")
        for ours, own in zip(together, alone, strict=True):
            assert (ours.quantity, ours.op) == (own.quantity, own.op)
            assert ours.log2_ms[row] == pytest.approx(own.log2_ms[0], abs=1e-4)


def test_a_sketch_over_seeds_of_several_scales_is_the_sum_of_theirs() -> None:
    """Deep linear networks of one neuron: each seed's numbers go their own way."""
    spec = NetSpec(depth=300, width=1, batch=4, activation="linear", sigma_w2=1.0)
    together = seen_of([spec], range(4), "independent")[-1]
    alone = [seen_of([spec], range(s, s + 1), "independent")[-1] for s in range(4)]
    assert together.values is not None
    assert len(set(together.values.power.tolist())) > 1
    assert together.sketch is not None
    summed = sum((each.sketch for each in alone if each.sketch is not None), Sketch())
    assert together.sketch.count == 16
    assert together.sketch.log2_mean_square() == summed.log2_mean_square()
    assert together.sketch.quantile(0.3) == summed.quantile(0.3)


def test_an_ensemble_gives_each_network_what_it_has_alone() -> None:
    specs = [
        SMALL,
        replace(SMALL, norm="batch"),
        replace(SMALL, norm="batch", statistics="frozen"),
        SMALL,
    ]
    together = tensors(specs, 5, "shared")
    for net, spec in enumerate(specs):
        for (quantity, _, op), alone in tensors([spec], 5, "shared").items():
            assert torch.allclose(together[quantity, net, op], alone, rtol=1e-4, atol=1e-5)


def test_weights_drawn_again_are_the_same_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = replace(SMALL, norm="batch", depth=9)
    kept = simulate(spec, seeds=2).gradient.log2_samples
    monkeypatch.setattr(ensemble, "_KEEP_WEIGHTS", 3 * 4 * spec.width**2)
    drawn_again = simulate(spec, seeds=2).gradient.log2_samples
    assert kept is not None
    assert drawn_again is not None
    assert (kept == drawn_again).all()


def test_numbers_outside_float64_are_carried_by_powers_of_two() -> None:
    """Scaling every weight by 2^6 scales a vanilla network's activations and gradients exactly,
    layer by layer."""
    plain = simulate(replace(SMALL, depth=200), seeds=2)
    scaled = simulate(replace(SMALL, depth=200, sigma_w2=2.0 * 4.0**6), seeds=2)
    layers = np.arange(201)
    assert np.allclose(
        scaled.activation.log2_mean_square - plain.activation.log2_mean_square,
        12 * layers,
        atol=1e-9,
    )
    assert np.allclose(
        scaled.gradient.log2_mean_square - plain.gradient.log2_mean_square,
        12 * layers[::-1],
        atol=1e-9,
    )
    assert np.isnan(scaled.gradient.mean_square[0])
    assert scaled.gradient_sketches[0].log2_scale > 1000


def test_a_small_scale_survives_biases_and_batch_norm() -> None:
    """A batch norm undoes any scale of its input, also one carried from the layers below."""
    tiny = replace(SMALL, input_variance=1e-30, norm="batch")
    assert np.allclose(simulate(tiny, seeds=1).activation.log2_mean_square[1:], simulate(
        replace(SMALL, norm="batch"), seeds=1
    ).activation.log2_mean_square[1:], atol=1e-4)  # fmt: skip


def test_a_network_without_variance_is_named() -> None:
    with pytest.raises(Undefined, match=r"layer 1: .*variance is 0; give eps > 0"):
        simulate(replace(SMALL, sigma_w2=0.0, norm="batch"), seeds=1)
