"""Every private name of torch that the probe leans on: it exists, and does what the probe takes it
to do."""

import gc
import sys
import threading
from contextlib import suppress
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torch.utils.checkpoint as checkpointing
from torch import Tensor, nn

from depthscale._probe import internals, probe


def x() -> Tensor:
    return torch.randn(4, 6, generator=torch.Generator().manual_seed(1)).requires_grad_()


def node(tensor: Tensor) -> Any:
    assert tensor.grad_fn is not None
    return tensor.grad_fn


def test_it_knows_when_autograd_runs() -> None:
    seen = []
    y = x().sin()
    y.register_hook(lambda g: seen.append(internals.in_backward()))
    y.sum().backward()
    assert seen == [True]
    assert not internals.in_backward()


def test_it_knows_a_checkpoints_second_pass() -> None:
    seen = []

    def body(x: Tensor) -> Tensor:
        seen.append(internals.in_backward())
        return x.sin()

    result: Any = checkpointing.checkpoint(body, x(), use_reentrant=False)
    result.sum().backward()
    assert seen == [False, True]


def test_a_leafs_node_is_told_from_the_others() -> None:
    y = x() * 2
    assert not internals.is_leaf(node(y))
    assert internals.is_leaf(node(y).next_functions[0][0])


def test_tensors_of_transforms_are_told_from_plain_ones() -> None:
    seen = []

    def look(row: Tensor) -> Tensor:
        seen.append(internals.is_wrapped(row))
        return row * 2

    torch.func.vmap(look)(x())
    torch.func.grad(lambda t: look(t).sum())(x().detach())
    assert seen == [True, True]
    assert not internals.is_wrapped(x())


def test_versions_count_what_is_written() -> None:
    h = torch.zeros(4)
    start = internals.version(h)
    h[1:].add_(1)
    assert internals.version(h) == start + 1
    with torch.inference_mode():
        assert internals.version(torch.zeros(3)) == -1


def test_a_views_base_is_what_it_looks_at() -> None:
    h = torch.zeros(4)
    assert internals.base_of(h) is None
    assert internals.base_of(h[1:]) is h
    assert internals.base_of(h[1:].view(3, 1)) is h


@pytest.mark.parametrize("shape", [(8, 5), (4, 5, 3, 2)])
@pytest.mark.parametrize("affine", [True, False])
def test_a_batch_norms_node_keeps_its_statistics(shape: tuple[int, ...], affine: bool) -> None:
    y = torch.randn(shape, dtype=torch.float64).requires_grad_()
    gamma = torch.rand(5, dtype=torch.float64) if affine else None
    found = internals.saved_statistics(
        node(F.batch_norm(y, None, None, gamma, training=True, eps=0.5))
    )
    assert found is not None
    dims = [d for d in range(y.dim()) if d != 1]
    torch.testing.assert_close(found.x, y)
    torch.testing.assert_close(found.mean, y.mean(dims).detach())
    torch.testing.assert_close(
        found.inverse_sigma, (y.var(dims, unbiased=False) + 0.5).rsqrt().detach()
    )
    assert found.eps == 0.5
    assert (found.gamma is None) == (not affine)
    if found.gamma is not None and gamma is not None:
        assert torch.equal(found.gamma, gamma)


def test_other_nodes_keep_none() -> None:
    y = torch.randn(8, 5).requires_grad_()
    evaluated = F.batch_norm(y, torch.zeros(5), torch.ones(5), training=False)
    for other in (evaluated, F.layer_norm(y, (5,)), y.relu(), F.instance_norm(y[None])):
        found = internals.saved_statistics(node(other))
        assert found is None or found.x.shape != y.shape


def test_hooks_of_parameters_are_silent_and_come_back() -> None:
    fired = []
    p = nn.Parameter(torch.ones(3))
    p.register_hook(lambda g: fired.append("hook"))
    p.register_post_accumulate_grad_hook(lambda p: fired.append("accumulated"))
    with internals.only_hooks([(p, None)]):
        torch.autograd.grad((p * 2).sum(), [p])
    assert fired == []
    (p * 2).sum().backward()
    assert fired == ["hook", "accumulated"]


def test_hooks_come_back_after_a_raise() -> None:
    p = nn.Parameter(torch.ones(3))
    p.register_hook(lambda g: None)
    hooks = p._backward_hooks
    with pytest.raises(ZeroDivisionError), internals.only_hooks([(p, None)]):
        raise ZeroDivisionError
    assert p._backward_hooks is hooks


def checkpointed(x: Tensor) -> Tensor:
    result: Any = checkpointing.checkpoint(lambda t: t.sin(), x, use_reentrant=True)
    return result


def test_reentrant_checkpoints_are_visible_while_probing() -> None:
    assert "Checkpoint" in type(node(checkpointed(x()))).__name__
    with internals.as_written():
        assert type(node(checkpointed(x()))).__name__ == "SinBackward0"
        with internals.as_written():
            pass
        assert type(node(checkpointed(x()))).__name__ == "SinBackward0"
    assert "Checkpoint" in type(node(checkpointed(x()))).__name__
    assert checkpointing.CheckpointFunction is internals._reentrant


def test_checkpoints_of_other_threads_stay_as_they_are() -> None:
    seen = []
    with internals.as_written():
        other = threading.Thread(target=lambda: seen.append(type(node(checkpointed(x()))).__name__))
        other.start()
        other.join()
    assert seen == ["CheckpointFunctionBackward"]


def test_compiled_functions_run_as_written() -> None:
    compiled = []

    def backend(graph: Any, inputs: Any) -> Any:
        compiled.append(graph)
        return graph.forward

    double: Any = torch.compile(lambda t: t * 2, backend=backend)
    assert "torch._dynamo" in sys.modules
    with internals.eager():
        assert torch.equal(double(torch.ones(3)), torch.full((3,), 2.0))
    assert compiled == []
    double(torch.ones(3))
    assert len(compiled) == 1


def test_probes_are_counted_and_take_turns() -> None:
    def wait() -> None:
        with internals.foremost():
            order.append("other")

    assert internals.depth() == 0
    with internals.foremost(), internals.foremost():
        assert internals.depth() == 2
        order = ["inside"]
        other = threading.Thread(target=wait)
        other.start()
        other.join(0.05)
        assert order == ["inside"]
    other.join()
    assert order == ["inside", "other"]
    assert internals.depth() == 0


def test_one_hook_takes_the_whole_gradient_and_what_it_returns_stands_for_it() -> None:
    fired: list[object] = []
    p, nothing = nn.Parameter(torch.ones(3)), torch.zeros(()).expand(3)
    p.register_hook(lambda g: fired.append("the user's"))

    def hook(gradient: Tensor | None) -> Tensor:
        assert gradient is not None
        fired.append(gradient.tolist())
        return nothing

    with internals.only_hooks([(p, hook)]):
        (found,) = torch.autograd.grad((p * 2 + p * 3).sum(), [p])
    assert fired == [[5.0, 5.0, 5.0]]
    assert found.untyped_storage().data_ptr() == nothing.untyped_storage().data_ptr()
    (p * 2).sum().backward()
    assert fired[1:] == ["the user's"]


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_left_to_the_garbage_collector_which_rests_meanwhile(fails: bool) -> None:
    """Each full collection would go through all of the model's graph."""
    running = []

    class Looks(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            running.append(gc.isenabled())
            if fails:
                raise ValueError("no")
            return x.relu() * 2

    model, inputs = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), Looks()), torch.randn(3, 4)

    def run() -> None:
        with suppress(ValueError):
            probe(model, inputs, params=True, norms=True, verify=not fails)

    run()
    gc.collect()
    run()
    assert not any(running)
    assert gc.isenabled()
    gc.disable()
    try:
        gc.collect()
        run()
        assert not gc.isenabled()
        assert gc.collect() == 0
    finally:
        gc.enable()
