"""Ctrl-C during a probe: it arrives as such, and the model is as it was."""

import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn, overrides

from depthscale._probe import internals, probe
from depthscale.errors import InvalidProbe
from probe.checks import state


class Cache(dict):
    """What is done when it is put back."""

    def __init__(self, when_put_back: Any):
        super().__init__()
        self.when_put_back = when_put_back

    def clear(self) -> None:
        self.when_put_back()
        super().clear()


class Model(nn.Module):
    """Writes to all that it has; its cache is put back before its buffers and gradients."""

    def __init__(self, when_put_back: Any = lambda: None, when_run: Any = lambda: None):
        super().__init__()
        torch.manual_seed(0)
        self.cache, self.when_run = Cache(when_put_back), when_run
        self.fc, self.norm = nn.Linear(8, 8), nn.BatchNorm1d(8)

    def forward(self, x: Tensor) -> Tensor:
        self.cache["x"] = x
        self.when_run()
        return self.norm(self.fc(x))


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def x() -> Tensor:
    return torch.randn(4, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def _the_process_is_as_before() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    yield
    assert signal.getsignal(signal.SIGINT) is before
    assert internals.depth() == 0


@pytest.mark.parametrize("settings", [{}, {"verify": True}, {"mode": "eval"}, {"repeats": 2}])
def test_an_interrupt_while_the_model_is_put_back_waits(settings: dict[str, Any]) -> None:
    model = Model(when_put_back=interrupt)
    before = state(model)
    with pytest.raises(KeyboardInterrupt):
        probe(model, x(), **settings)
    assert state(model) == before


def test_an_interrupt_while_the_model_runs_arrives_there() -> None:
    after: list[str] = []

    def interrupted() -> None:
        interrupt()
        after.append("ran on")

    model = Model(when_run=interrupted)
    before = state(model)
    with pytest.raises(KeyboardInterrupt):
        probe(model, x())
    assert after == []
    assert state(model) == before


def test_a_second_interrupt_does_not_stop_what_the_first_began() -> None:
    model = Model(when_put_back=interrupt, when_run=interrupt)
    before = state(model)
    with pytest.raises(KeyboardInterrupt):
        probe(model, x())
    assert state(model) == before


def test_an_interrupt_that_the_model_swallows_arrives_at_the_end() -> None:
    def swallowed() -> None:
        try:
            interrupt()
        except KeyboardInterrupt:
            return

    with pytest.raises(KeyboardInterrupt):
        probe(Model(when_run=swallowed), x())


def test_a_handler_of_the_users_own_that_takes_a_note_is_called_once() -> None:
    notes: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: notes.append(number))
    try:
        for model in (Model(when_run=interrupt), Model(when_put_back=interrupt)):
            assert len(probe(model, x())) > 1
    finally:
        signal.signal(signal.SIGINT, before)
    assert notes == [signal.SIGINT] * 2


def test_an_interrupt_while_a_factory_makes_the_model_leaves_the_random_states() -> None:
    def make() -> nn.Module:
        interrupt()
        return Model()

    before = torch.get_rng_state()
    with pytest.raises(KeyboardInterrupt):
        probe(make, x())
    assert torch.equal(torch.get_rng_state(), before)


def test_a_probe_in_another_thread_takes_no_signals() -> None:
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(probe(Model(), x())))
    thread.start()
    thread.join()
    assert len(found) == 1


def test_what_raises_while_it_is_put_back_leaves_the_rest_put_back() -> None:
    def refuse() -> None:
        raise ValueError("this cache is read only")

    model = Model(when_put_back=refuse)
    model.fc.weight.grad = torch.ones(8, 8)
    before = state(model)
    with pytest.raises(InvalidProbe, match="this cache is read only"):
        probe(model, x())
    model.cache = Cache(refuse)
    after = state(model)
    assert [b for a, b in zip(before, after, strict=True) if a != b][1:] == []


_TAKEN_AWAY = """
def taken_away():
    mode = pop()
    if left:
        raise_signal(left.pop())
    return mode
"""


def test_an_interrupt_that_comes_while_torch_changes_its_modes_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names: dict[str, Any] = {
        "pop": overrides._pop_torch_function_stack,  # pyright: ignore[reportAttributeAccessIssue]
        "raise_signal": signal.raise_signal,
        "left": [signal.SIGINT],  # one interrupt
    }
    exec(compile(_TAKEN_AWAY, overrides.__file__, "exec"), names)
    monkeypatch.setattr(overrides, "_pop_mode", names["taken_away"])
    model = nn.Sequential(nn.Linear(8, 8), *(nn.BatchNorm1d(8) for _ in range(20)))
    before = state(model)
    with pytest.raises(KeyboardInterrupt) as caught:
        probe(model, x())
    assert caught.value.__context__ is None  # no mode was missed when the recorder was left
    assert state(model) == before
    assert torch._C._len_torch_function_stack() == 0  # type: ignore[attr-defined]
