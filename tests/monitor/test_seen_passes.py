"""What a monitor sees is what the training computes: against hooks of torch's own."""

from collections.abc import Callable
from math import log2

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import depthscale as ds

BATCH, WIDTH = 6, 8


def model(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    layers = [part for _ in range(3) for part in (nn.Linear(WIDTH, WIDTH), nn.Tanh())]
    return nn.Sequential(*layers)


def data(seed: int = 1, batch: int = BATCH) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, WIDTH, generator=generator)
    return x, torch.randn(batch, WIDTH, generator=generator)


def by_hooks(net: nn.Sequential, x: Tensor, y: Tensor, scale: float = 1.0) -> dict[str, Tensor]:
    """Each module's output, and each one's gradient under its name and an apostrophe."""
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: object, output: Tensor) -> None:
            found[name] = output.detach().clone()
            output.register_hook(lambda g: found.__setitem__(f"{name}'", g.clone()))

        return hook

    handles = [m.register_forward_hook(keep(n)) for n, m in net.named_children()]
    (F.mse_loss(net(x), y) * scale).backward()
    for handle in handles:
        handle.remove()
    found |= {f"{n} grad": p.grad.clone() for n, p in net.named_parameters() if p.grad is not None}
    net.zero_grad()
    return found


def same(sketch: ds.Sketch | None, *values: Tensor) -> bool:
    """Whether a sketch holds the values of some tensors, value by value."""
    assert sketch is not None
    expected = sum((ds.Sketch.of(each) for each in values), ds.Sketch())
    a, b = sketch.tally, expected.tally
    return (a.patterns == b.patterns).all() and (a.counts == b.counts).all()


def test_activations_gradients_and_updates_are_those_of_the_training() -> None:
    net, (x, y) = model(), data()
    expected = by_hooks(net, x, y)
    before = {n: p.detach().clone() for n, p in net.named_parameters()}
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    monitor = ds.Monitor(net, every=1)
    with monitor.step():
        loss = F.mse_loss(net(x), y)
        loss.backward()
        optimizer.step()
    run = monitor.at(0)
    for name in (n for n, _ in net.named_children()):
        assert same(run[name].activation, expected[name])
        assert same(run[name].gradient, expected[f"{name}'"])
    for p in run.params:
        change = net.get_parameter(p.name).detach() - before[p.name]
        assert same(p.gradient, expected[f"{p.name} grad"])
        assert p.update == pytest.approx(float(change.norm() / before[p.name].norm()), rel=1e-6)
    assert run["loss"].activation.mean_square() == pytest.approx(loss.item() ** 2)  # type: ignore[union-attr]
    assert monitor.scalars()["depthscale/loss"] == loss.item()
    assert ds.ledger(run).closure_error < 1e-6
    assert run.coverage.share == 1


def test_micro_batches_are_added_up() -> None:
    net = model()
    parts = [data(seed) for seed in (1, 2, 3)]
    expected = [by_hooks(net, *part) for part in parts]
    monitor = ds.Monitor(net, every=1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with monitor.step():
        for x, y in parts:
            F.mse_loss(net(x), y).backward()
        optimizer.step()
    run = monitor.at(0)
    assert run.passes == 3
    assert same(run["2"].activation, *(each["2"] for each in expected))
    assert same(run["2"].gradient, *(each["2'"] for each in expected))
    whole = sum(each["0.weight grad"] for each in expected[1:]) + expected[0]["0.weight grad"]
    (weight,) = (p for p in run.params if p.name == "0.weight")
    assert weight.gradient is not None
    assert weight.gradient.rms() == pytest.approx(float(whole.square().mean().sqrt()), rel=1e-6)


def test_a_smaller_last_micro_batch_is_left_out_and_named() -> None:
    net = model()
    monitor = ds.Monitor(net, every=1)
    with monitor.step():
        for batch in (BATCH, BATCH, 2):
            x, y = data(batch, batch)
            F.mse_loss(net(x), y).backward()
    run = monitor.at(0)
    assert run.passes == 2
    assert [each.why for each in run.coverage.not_seen] == [
        "its operations, or their sizes, are not those of the step's first one"
    ]


@pytest.mark.parametrize("given", [True, False])
def test_gradients_are_shown_without_the_scale_of_a_scaler(given: bool) -> None:
    net, (x, y) = model(), data()
    expected = by_hooks(net, x, y)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    monitor = ds.Monitor(net, every=1, scaler=scaler if given else None)
    with monitor.step():
        scaler.scale(F.mse_loss(net(x), y)).backward()
        scaler.step(optimizer)
        scaler.update()
    run = monitor.at(0)
    assert run["2"].log2_gradient_ms == pytest.approx(
        log2(expected["2'"].double().square().mean()), abs=1e-9
    )
    (weight,) = (p for p in run.params if p.name == "0.weight")
    assert weight.gradient is not None
    assert weight.gradient.log2_mean_square() == pytest.approx(
        log2(expected["0.weight grad"].double().square().mean()), abs=1e-6
    )
    (row,) = monitor.timeline()
    assert row.scale == 2.0**10
    assert row.clipped == pytest.approx(1.0)


def test_a_fused_optimizer_that_unscales_by_itself_is_read_unscaled() -> None:
    net, (x, y) = model(), data()
    expected = by_hooks(net, x, y)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, fused=True)
    monitor = ds.Monitor(net, every=1)
    with monitor.step():
        scaler.scale(F.mse_loss(net(x), y)).backward()
        scaler.step(optimizer)
    (weight,) = (p for p in monitor.at(0).params if p.name == "0.weight")
    assert weight.gradient is not None
    assert weight.gradient.rms() == pytest.approx(float(expected["0.weight grad"].norm()) / WIDTH)


def test_clipping_shows_as_the_factor_that_it_multiplies_by() -> None:
    net, (x, y) = model(), data()
    monitor = ds.Monitor(net, every=1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with monitor.step():
        F.mse_loss(net(x), y).backward()
        norm = nn.utils.clip_grad_norm_(net.parameters(), 0.01)
        optimizer.step()
    (row,) = monitor.timeline()
    assert row.clipped == pytest.approx(0.01 / float(norm), rel=1e-4)


def test_a_skipped_step_of_a_scaler_has_no_update_and_no_alert() -> None:
    net, (x, y) = model(), data()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    monitor = ds.Monitor(net, every=1, stop_on="error")
    with monitor.step():
        with torch.autocast("cpu", torch.float16):
            loss = F.mse_loss(net(x).float(), y) * 1e6
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
    (sampled,) = monitor.recording.sampled
    assert sampled.facts.skipped
    assert all(p.update is None for p in sampled.run.params)
    assert sampled.row.nonfinite > 0
    assert monitor.alerts == ()


def test_recomputation_is_counted_once() -> None:
    from monitor.training import Blocks

    runs = {}
    for reentrant in (None, False):
        torch.manual_seed(0)
        net = Blocks(reentrant=reentrant)
        monitor = ds.Monitor(net, every=1)
        x = torch.randn(5, 16, generator=torch.Generator().manual_seed(2))
        with monitor.step():
            net(x).square().mean().backward()
        runs[reentrant] = monitor.at(0)
    plain, checked = runs.values()
    assert [op.name for op in plain] == [op.name for op in checked]
    for a, b in zip(plain, checked, strict=True):
        assert a.log2_gradient_ms == pytest.approx(b.log2_gradient_ms, nan_ok=True)
        assert (a.activation is None) == (b.activation is None)
        assert a.activation is None or a.activation.count == b.activation.count  # type: ignore[union-attr]


def test_a_large_parameter_is_compared_by_rows_and_a_table_whole() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Embedding(4000, 64), nn.Linear(64, 4000))
    monitor = ds.Monitor(net, every=1)
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    before = {n: p.detach().clone() for n, p in net.named_parameters()}
    with monitor.step():
        net(torch.tensor([[1, 7], [9, 2]])).square().mean().backward()
        optimizer.step()
    for p in monitor.at(0).params:
        change = net.get_parameter(p.name).detach() - before[p.name]
        exact = float(change.norm() / before[p.name].norm())
        limit = 4 * 2**-8 if p.name == "1.weight" else 1e-6  # 2^16 values: 4 standard errors
        assert p.update == pytest.approx(exact, rel=limit), p.name
