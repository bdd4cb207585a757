"""Monitor: a training run, watched from the user's own backward pass."""

import warnings
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from depthscale._probe import is_compiled, is_first, walked
from depthscale.errors import InvalidInput, InvalidProbe, TrainingStopped
from depthscale.measure import SEVERITIES
from depthscale.monitor.alert import Alert
from depthscale.monitor.began import Began
from depthscale.monitor.flight_recorder import FlightRecorder, Signals
from depthscale.monitor.loss_scale import LossScale
from depthscale.monitor.recording import Event, Recording, SampledStep, Why
from depthscale.monitor.sampled_step import Sampling
from depthscale.monitor.schedule import scheduled
from depthscale.monitor.timeline import Timeline
from depthscale.run import Run


class Monitor:
    """Watch a model while it is trained.

    On a sampled step every operation's activation and its gradient are seen, of the user's own
    loss and in the user's own backward pass, then the parameters' gradients and what the optimizer
    makes of each. Nothing runs twice, training is the same bit for bit, and nothing that goes wrong
    here is raised into it. Other steps are only counted.

    Args:
        model: that is trained; the module itself, or what wraps it.
        every: every k-th step is sampled; None: only those that follow.
        at: explicit steps.
        first: all of the first ones.
        geometric: steps 1, 2, 4, 8, ... below `every`, too.
        out: a file to which each sampled step's row is appended, and all that is kept when the
            loss is not finite or jumps, an exception ends the training, or a signal comes.
        keep: how many sampled steps' runs are kept; `memory` tells what they take.
        params: parameters' gradients and updates, too.
        scaler: a GradScaler; one that torch provides is found by itself.
        stop_on: a rule, the beginning of one, or a severity that ends the training.
        compiled: "eager": sampled steps of a compiled model run as it is written.
        signals: before which all is written.
        group: of torch.distributed whose ranks' shares of the batch are added up, as under DDP and
            FSDP2; None: the default one where there is one; False: this rank's share alone.

    Raises:
        InvalidProbe: for what is no module, and for a compiled one.
        InvalidInput: for a schedule that names no steps.
        UnwritablePath: where `out` cannot be written.

    Example:
        >>> import torch, depthscale as ds
        >>> model = torch.nn.Sequential(*[torch.nn.Linear(8, 8) for _ in range(4)])
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> with ds.Monitor(model, every=2) as monitor:
        ...     for _ in range(3):
        ...         with monitor.step():
        ...             model(torch.ones(4, 8)).square().mean().backward()
        ...             optimizer.step()
        ...             optimizer.zero_grad()
        >>> monitor.steps
        (0, 2)
        >>> len(monitor.at(2))
        7
    """

    def __init__(
        self,
        model: nn.Module,
        every: int | None = 50,
        *,
        at: Iterable[int] = (),
        first: int = 0,
        geometric: bool = False,
        out: str | Path | None = None,
        keep: int = 20,
        params: bool = True,
        scaler: Any = None,
        stop_on: str | None = None,
        compiled: Literal["eager"] | None = None,
        signals: Iterable[str] = ("SIGTERM",),
        group: Any = None,
    ):
        _require_module(model, compiled)
        if keep < 1:
            raise InvalidInput(f"keep must be a number of steps from 1, got {keep}")
        self._schedule = scheduled(every, at, first, geometric)
        self.model = model
        self.recording = Recording(type(model).__name__, keep)
        self.stop_on = stop_on
        self._scale = LossScale(scaler)
        self._tree = walked(model)
        self._sampling = Sampling(
            model, self._tree, self._scale, params, compiled == "eager", group
        )
        path = None if out is None or not is_first(group) else Path(out)
        self._recorder = FlightRecorder(self.recording, path)
        self._signals = Signals(signals, self._signalled)
        self._next, self._now = 0, 0
        self._loss: Tensor | float | None = None
        self._steps = {False: OffStep(self), True: OnStep(self, self._sampling)}
        self._is_on: bool | None = None  # not yet

    # ---- the training loop

    def __enter__(self) -> "Monitor":
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, raised: Any, trace: Any) -> None:
        if kind is not None and not issubclass(kind, TrainingStopped):
            self._guarded(self._raised, raised)
        self.stop()

    def start(self) -> "Monitor":
        """Watch from the next step on; the first step does so by itself."""
        if not self._is_on:
            self._is_on = True
            self._guarded(self._signals.__enter__)
        return self

    def stop(self) -> None:
        """Watch no more; what was seen stays."""
        if self._is_on:
            self._is_on = False
            self._guarded(self._take_loss)
            self._guarded(self._signals.__exit__)
            self._guarded(self._recorder.close)

    def step(self, number: int | None = None) -> "OffStep":
        """A context for one step of training: forward and backward passes and the optimizer's step.

        Args:
            number: of the step; None: one more than the last.
        """
        if self._is_on is None:
            self.start()
        now = self._now = self._next if number is None else number
        self._next = now + 1
        return self._steps[self._is_on is True and now in self._schedule]

    def log_loss(self, loss: Tensor | float) -> None:
        """Tell the loss of a step, sampled or not; of a tensor on a device it is read a step
        later."""
        self._guarded(self._take_loss)
        self._loss = loss.detach() if isinstance(loss, Tensor) else loss
        if not (isinstance(self._loss, Tensor) and self._loss.device.type != "cpu"):
            self._guarded(self._take_loss)

    # ---- what was seen

    @property
    def steps(self) -> tuple[int, ...]:
        """Numbers of the sampled steps whose runs are kept."""
        return self.recording.steps

    def at(self, step: int) -> Run:
        """The run of a sampled step; -1 for the last one.

        Raises:
            KeyError: with the nearest steps that are kept.
        """
        return self.recording.at(step)

    def timeline(self) -> Timeline:
        """All sampled steps, a row each."""
        return self.recording.timeline()

    def scalars(self) -> dict[str, float]:
        """The last sampled step in few numbers, for a tracker."""
        return self.recording.scalars()

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """What `diagnose` warns of at sampled steps, each cause once."""
        return self.recording.alerts

    @property
    def dropped(self) -> dict[str, int]:
        """What could not be looked at, and how often."""
        return self.recording.dropped

    @property
    def memory(self) -> int:
        """Bytes that the kept runs' distributions take."""
        return self.recording.memory

    def began(self, step: int | None = None) -> Began | None:
        """The first operation that left its range for good, before a step."""
        return self.recording.began(step)

    def write(self) -> None:
        """Append all that is kept to the file now."""
        self._guarded(self._event, Event(self._now, Why.ASKED))

    def __repr__(self) -> str:
        return f"Monitor{repr(self.recording).removeprefix('Recording')}"

    # ---- inside

    def _end(self, sampling: Sampling) -> None:
        """A sampled step is over. / raises: TrainingStopped, where it was asked for."""
        sampled = self._guarded(sampling.result, self._now)
        for why in sampling.wrong:
            self._drop(why)
        sampling.wrong.clear()
        if sampled is None:
            return
        self._guarded(self._recorder.add, sampled)
        if self._loss is None:
            self._guarded(self._add_loss, sampled.facts.loss)
        if self.stop_on is not None:
            self._stop_on_finding(sampled, self.stop_on)

    def _stop_on_finding(self, sampled: SampledStep, name: str) -> None:
        found = self._guarded(
            lambda: [f for f in sampled.findings if f.severity != "info" and _is(f, name)]
        )
        if found:
            self._guarded(self._event, Event(sampled.step, Why.ALERT, found[0].rule))
            raise TrainingStopped(f"step {sampled.step}: {found[0]}")

    def _take_loss(self) -> None:
        if self._loss is not None:
            loss, self._loss = float(self._loss), None
            self._add_loss(loss)

    def _add_loss(self, loss: float) -> None:
        event = self._recorder.add_loss(self._now, loss)
        if event is not None:
            self._event(event)

    def _raised(self, raised: BaseException | None) -> None:
        last = self.recording.events[-1] if self.recording.events else None
        if last is None or (last.step, last.why) != (self._now, Why.EXCEPTION):
            self._event(Event(self._now, Why.EXCEPTION, type(raised).__name__))

    def _signalled(self, name: str) -> None:
        self._event(Event(self._now, Why.SIGNAL, name))

    def _event(self, event: Event) -> None:
        self._recorder.write(event)

    def _guarded(self, act: Any, *arguments: Any) -> Any:
        """What may go wrong, and is counted then."""
        try:
            return act(*arguments)
        except TrainingStopped:
            raise
        except Exception as wrong:
            self._drop(f"{type(wrong).__name__}: {wrong}")
            return None

    def _drop(self, why: str) -> None:
        dropped = self.recording.dropped
        if not dropped:
            with suppress(UserWarning):  # of who makes errors of warnings
                warnings.warn(f"depthscale's monitor: {why} (training goes on)", stacklevel=4)
        if why in dropped or len(dropped) < _REASONS:
            dropped[why] = dropped.get(why, 0) + 1


_REASONS = 100  # that are told apart


class OffStep:
    """A step that is only counted."""

    __slots__ = ("_monitor",)

    def __init__(self, monitor: Monitor):
        self._monitor = monitor

    def __enter__(self) -> "OffStep":
        return self

    def __exit__(self, kind: Any, raised: Any, trace: Any) -> None:
        if kind is not None:
            self._monitor._guarded(self._monitor._raised, raised)


class OnStep(OffStep):
    """A step that is looked at."""

    __slots__ = ("_sampling",)

    def __init__(self, monitor: Monitor, sampling: Sampling):
        super().__init__(monitor)
        self._sampling = sampling

    def __enter__(self) -> "OnStep":
        self._sampling.__enter__()
        return self

    def __exit__(self, kind: Any, raised: Any, trace: Any) -> None:
        self._sampling.__exit__(kind, raised, trace)
        super().__exit__(kind, raised, trace)
        if kind is None:
            self._monitor._end(self._sampling)


def _is(finding: Any, name: str) -> bool:
    """Whether a finding has a rule, begins so, or is as severe as a severity."""
    if name in SEVERITIES:
        return SEVERITIES.index(finding.severity) >= SEVERITIES.index(name)
    return finding.rule.startswith(name)


def _require_module(model: Any, compiled: str | None) -> None:
    if not isinstance(model, nn.Module):
        raise InvalidProbe(f"a monitor watches a torch.nn.Module, got {type(model).__name__}")
    if compiled not in (None, "eager"):
        raise InvalidInput(f'compiled must be "eager" or None, got {compiled!r}')
    if compiled is None and any(is_compiled(module) for module in model.modules()):
        raise InvalidProbe(
            "what torch.compile has compiled shows no operation: train the model uncompiled, or "
            'give compiled="eager", whose sampled steps run eagerly (not bit for bit as compiled)'
        )
