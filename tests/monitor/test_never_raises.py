"""Nothing that goes wrong in a monitor reaches the training, and nothing of it stays behind."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import depthscale as ds
from depthscale._probe import backward, own_passes, own_step, recorder, unharmed
from depthscale.monitor import optimizer_watch, recording
from monitor.training import batches, plain, trained


def fails(*args: Any, **kwargs: Any) -> Any:
    raise ValueError("planted")


FAULTS: dict[str, tuple[object, str]] = {
    "the recorder, after a call": (recorder.Recorder, "_saw"),
    "the recorder, before a call": (recorder.Recorder, "value"),
    "a module's inputs": (own_passes, "_named"),
    "a statistic": (recorder, "read_statistics"),
    "a module's return": (recorder.Recorder, "_left"),
    "resolving": (own_passes, "resolved"),
    "hooks of nodes": (backward.Backward, "watched"),
    "a gradient that arrives": (backward.Backward, "arrived"),
    "a gradient that leaves": (backward, "split_of"),
    "the run": (own_step, "recorded_run"),
    "fates": (own_step, "fates"),
    "an optimizer's parameters": (optimizer_watch, "_sketched"),
    "an optimizer's updates": (optimizer_watch, "moved"),
    "a clipped gradient": (optimizer_watch, "_is_plain"),
    "the row": (recording, "row_of"),
    "modules' hooks": (own_passes, "watched"),
    "a recorder's end": (unharmed.UnharmedRecorder, "release"),
}


@pytest.mark.filterwarnings("ignore:depthscale's monitor")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_costs_what_is_seen_and_nothing_else(
    fault: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    without = trained("checkpointing", 4, None)
    monitors: list[ds.Monitor] = []

    def watch(model: nn.Module) -> ds.Monitor:
        monitors.append(ds.Monitor(model, every=1, out=tmp_path / "run.dsmon"))
        return monitors[0]

    owner, name = FAULTS[fault]
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, fails)
        watched = trained("checkpointing", 4, watch)
    assert watched.losses == without.losses
    assert all(torch.equal(w, watched.weights[n]) for n, w in without.weights.items())
    assert any("planted" in why for why in monitors[0].dropped), monitors[0].dropped


def test_the_first_loss_of_sight_is_warned_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_passes, "resolved", fails)
    model = nn.Linear(16, 4)
    monitor = ds.Monitor(model, every=1)
    with pytest.warns(UserWarning, match="planted.*training goes on") as warned:
        plain(model, monitor.step, 3)
    assert len(warned) == 1
    assert monitor.dropped == {"ValueError: planted": 3}


def hooks(model: nn.Module) -> list[int]:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return [len(getattr(m, kind)) for m in model.modules() for kind in kinds]


@pytest.mark.parametrize("where", ["forward", "backward", "optimizer"])
def test_an_exception_of_the_users_comes_through_and_leaves_no_hook(where: str) -> None:
    model = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4))
    before = hooks(model)
    monitor = ds.Monitor(model, every=1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = next(batches(1))

    def spoil(*args: Any) -> None:
        raise KeyError("theirs")

    spoilers: dict[str, Callable[[], Any]] = {
        "forward": lambda: model[1].register_forward_hook(spoil),
        "backward": lambda: model.get_parameter("0.weight").register_hook(spoil),
        "optimizer": lambda: optimizer.register_step_pre_hook(spoil),
    }

    def step() -> None:
        with monitor.step():
            F.cross_entropy(model(x), y).backward()
            optimizer.step()

    handle = spoilers[where]()
    with pytest.raises(KeyError, match="theirs"):
        step()
    handle.remove()
    assert hooks(model) == before
    assert torch.overrides._get_current_function_mode_stack() == []
    step()
    assert monitor.steps == (1,)
    assert [e.why.name for e in monitor.recording.events] == ["EXCEPTION"]


def test_a_step_without_the_model_says_what_is_missing() -> None:
    model, other = nn.Linear(3, 2), nn.Linear(3, 2)
    monitor = ds.Monitor(model, every=1)
    with pytest.warns(UserWarning, match="is this the model that is trained"), monitor.step():
        other(torch.ones(1, 3)).sum().backward()
    with monitor.step():
        pass
    assert [why[:20] for why in monitor.dropped] == ["a backward pass ran,", "no backward pass ran"]
    assert monitor.steps == ()


def test_what_is_compiled_is_refused_with_the_reason() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Tanh())
    model.compile(backend="eager")
    with pytest.raises(ds.InvalidProbe, match=r'compiled="eager"'):
        ds.Monitor(model)
    monitor = ds.Monitor(model, every=2, compiled="eager")
    for _ in range(3):
        with suppress(ds.DepthscaleError), monitor.step():
            model(torch.ones(2, 3)).sum().backward()
    assert monitor.steps == (0, 2)
    assert [op.op for op in monitor.at(2)] == ["input", "linear", "tanh", "sum"]


def test_other_steps_attach_nothing() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Tanh())
    before, seen = hooks(model), []
    monitor = ds.Monitor(model, every=2)
    for _ in range(4):
        with monitor.step():
            seen.append(hooks(model) == before)
            assert bool(torch.overrides._get_current_function_mode_stack()) != seen[-1]
            model(torch.ones(2, 3)).sum().backward()
    assert seen == [False, True, False, True]


def test_schedules() -> None:
    from depthscale.monitor.schedule import scheduled

    def sampled(**how: Any) -> list[int]:
        asked = {"every": None, "at": (), "first": 0, "geometric": False} | how
        schedule = scheduled(**asked)
        return [step for step in range(41) if step in schedule]

    assert sampled(every=20) == [0, 20, 40]
    assert sampled(at=[3, 9]) == [3, 9]
    assert sampled(first=4) == [0, 1, 2, 3]
    assert sampled(geometric=True, every=20) == [0, 1, 2, 4, 8, 16, 20, 40]
    for wrong in ({"every": 0}, {"every": True}, {"first": -1}):
        with pytest.raises(ds.DepthscaleError):
            sampled(**wrong)
