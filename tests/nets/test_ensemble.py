"""The fast ensemble against the same networks as torch modules, differentiated by autograd."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from depthscale.nets import build, ensemble, execute, simulate
from depthscale.nets.draw import draw_cotangent, draw_input
from depthscale.network.spec import NetSpec
from tolerances import RELATIVE

SMALL = NetSpec(depth=4, width=24, batch=10)
VARIANTS = [
    SMALL,
    replace(SMALL, activation="linear"),
    replace(SMALL, activation="tanh", sigma_b2=0.1),
    replace(SMALL, activation="leaky_relu(0.3)", norm="batch"),
    replace(SMALL, activation="gelu", norm="batch", gamma=0.7, beta=-0.4),
    replace(SMALL, sigma_b2=0.3, sigma_w2=1.3),
    replace(SMALL, norm="batch"),
    replace(SMALL, norm="batch", statistics="frozen"),
    replace(SMALL, norm="batch", eps=0.1, gamma=0.7, beta=-0.4, sigma_b2=0.2),
    replace(SMALL, norm="batch", eps=0.1, gamma=0.7, beta=-0.4, statistics="frozen"),
    replace(SMALL, norm="batch", weights="orthogonal", input_variance=0.5),
]


def autograd(spec: NetSpec, seed: int, loss: str) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Activations and gradients at layers 0..depth, by torch alone."""
    states = [draw_input(spec, seed).requires_grad_()]
    modules = list(build(spec, seed))
    per_layer = len(modules) // spec.depth
    for layer in range(spec.depth):
        x = states[-1]
        for module in modules[layer * per_layer : (layer + 1) * per_layer]:
            x = module(x)
        states.append(x)
    gradients = torch.autograd.grad(states[-1], states, draw_cotangent(spec, seed, loss))
    return [x.detach() for x in states], list(gradients)


def tensors(specs: list[NetSpec], seed: int, loss: str) -> dict[tuple[str, int, int], torch.Tensor]:
    """Every tensor that the ensemble shows, unscaled."""
    found = {}
    for seen in ensemble.run(specs, seed, loss):
        if seen.values is not None and seen.sketch is not None:
            found[seen.quantity, seen.net, seen.op] = (
                seen.values.double() * 2.0**seen.sketch.log2_scale
            )
        found[f"log2_{seen.quantity}", seen.net, seen.op] = torch.tensor(seen.log2_ms)
    return found


@pytest.mark.parametrize("loss", ["independent", "shared"])
@pytest.mark.parametrize("spec", VARIANTS, ids=str)
def test_gradients_and_activations_are_those_of_autograd(spec: NetSpec, loss: str) -> None:
    activations, gradients = autograd(spec, 3, loss)
    found = tensors([spec], 3, loss)
    for layer, op in enumerate(spec.graph().places):
        ours, theirs = found["gradient", 0, op], gradients[layer].double()
        assert torch.allclose(
            ours, theirs, rtol=0, atol=RELATIVE[torch.float32] * float(theirs.abs().max())
        )
        log2_ms = activations[layer].double().square().mean().log2()
        assert abs(float(found["log2_activation", 0, op] - log2_ms)) < 1e-5


@pytest.mark.parametrize("spec", VARIANTS, ids=str)
def test_levels_of_every_operation_are_those_of_its_graph_run_by_autograd(spec: NetSpec) -> None:
    levels = {
        (seen.quantity, seen.op): seen.log2_ms
        for seen in execute.run(spec, 3, "shared")
        if seen.quantity != "edge"
    }
    found = tensors([spec], 3, "shared")
    assert len(levels) == sum(key.startswith("log2") for key, _, _ in found)
    for (quantity, op), level in levels.items():
        assert float(found[f"log2_{quantity}", 0, op]) == pytest.approx(level, abs=1e-4)


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
    from depthscale.errors import Undefined

    with pytest.raises(Undefined, match=r"layer 1: .*variance is 0; give eps > 0"):
        simulate(replace(SMALL, sigma_w2=0.0, norm="batch"), seeds=1)
