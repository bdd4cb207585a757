"""Recording: what is kept of a training run, in memory or in a file."""

from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from depthscale._diagnose import Finding, diagnose
from depthscale.drawable import Drawable
from depthscale.errors import InvalidRecord
from depthscale.monitor.alert import Alert, Alerts
from depthscale.monitor.append_only import segments
from depthscale.monitor.began import Began, began
from depthscale.monitor.step_row import StepFacts, StepRow, row_of
from depthscale.monitor.timeline import Timeline, scalars
from depthscale.run import Run
from depthscale.store import Misfit, as_plain, rebuilt, saved_record, saved_run

SCHEMA = "depthscale-monitor/1"
_GRADIENT = "gradient-not-finite"
_NOT_FINITE = ("activation-not-finite", _GRADIENT)
_ROWS = 4096  # of the timeline that are kept; beyond, every second of them goes
_LOSSES = 512  # of ordinary steps


class Why(StrEnum):
    """Why the recorder wrote what it held."""

    NOT_FINITE = "the loss is not finite"
    JUMP = "the loss jumped"
    EXCEPTION = "an exception"
    SIGNAL = "a signal"
    ALERT = "a finding"
    ASKED = "it was asked to"


@dataclass(frozen=True)
class Event:
    """A time at which the recorder wrote what it held. / step: of training; detail: the loss, the
    exception, the signal, in a word."""

    step: int
    why: Why
    detail: str = ""


@dataclass(eq=False)
class SampledStep:
    """A sampled step with its run; what is read from that is read once."""

    step: int
    run: Run
    facts: StepFacts

    @cached_property
    def row(self) -> StepRow:
        return row_of(self.step, self.run, self.facts)

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """What a GradScaler sees to is none, and what is not finite stands for all that follows."""
        found = diagnose(self.run).findings
        if self.facts.skipped:
            found = tuple(f for f in found if f.rule != _GRADIENT)
        bad = tuple(f for f in found if f.rule in _NOT_FINITE and f.severity == "error")
        return bad or found


@dataclass(eq=False)
class Recording(Drawable):
    """A training run as it was watched.

    Attributes:
        model: its class.
        keep: how many sampled steps' runs are kept, the last ones.
        events: times at which all was written.
        losses: the last steps', ordinary ones too: (step, loss).
        dropped: how many times something could not be looked at, by the reason.
    """

    model: str = ""
    keep: int | None = None
    events: list[Event] = field(default_factory=list)
    losses: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=_LOSSES))
    dropped: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._kept: deque[SampledStep] = deque()
        self._rows: dict[int, StepRow] = {}
        self._alerts = Alerts()
        self._judged: set[int] = set()

    def add(self, sampled: SampledStep) -> None:
        """One more sampled step; the oldest that is kept gives way."""
        self._kept.append(sampled)
        while self.keep is not None and len(self._kept) > self.keep:
            oldest = self._kept.popleft()
            self.add_row(oldest.row)
            self._judged.discard(oldest.step)

    def add_row(self, row: StepRow) -> None:
        """A step of which there is no run."""
        self._rows[row.step] = row
        if len(self._rows) > _ROWS:
            self._rows = dict(list(self._rows.items())[::2])

    def add_alert(self, alert: Alert) -> None:
        """One of a step of which there is no run."""
        self._alerts.put(alert)

    # ---- what it gives

    @property
    def sampled(self) -> tuple[SampledStep, ...]:
        """The steps whose runs are kept, in order."""
        return tuple(self._kept)

    @property
    def steps(self) -> tuple[int, ...]:
        """Numbers of the steps whose runs are kept."""
        return tuple(each.step for each in self._kept)

    def at(self, step: int) -> Run:
        """The run of a sampled step.

        Args:
            step: one of `steps`; -1 for the last one.

        Raises:
            KeyError: with the nearest steps that are kept.
        """
        for each in reversed(self._kept):
            if each.step == step or step == -1:
                return each.run
        near = sorted(self.steps, key=lambda kept: abs(kept - step))[:4]
        there = ", ".join(map(str, sorted(near))) or "none yet"
        raise KeyError(f"step {step} is not kept; the nearest that are: {there}")

    def timeline(self) -> Timeline:
        """All sampled steps, a row each; of the oldest of more than 4,096 every second one."""
        rows = self._rows | {each.step: each.row for each in self._kept}
        return Timeline(tuple(rows[step] for step in sorted(rows)), self.model)

    def scalars(self) -> dict[str, float]:
        """The last sampled step in few numbers, under keys that begin with "depthscale/"."""
        rows = [self._kept[-1].row] if self._kept else list(self._rows.values())
        return scalars(rows, len(self.alerts))

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """What `diagnose` warns of, each cause once, in the order in which they began: of the steps
        that are kept, and of those that were when it was asked before."""
        for each in self._kept:
            if each.step not in self._judged:
                self._judged.add(each.step)
                self._alerts.add(each.step, each.findings)
        return self._alerts.all

    def began(self, step: int | None = None) -> Began | None:
        """The first operation that left its range for good, before a step or before the last one
        that is kept; None where none did."""
        last = self.events[-1].step if step is None and self.events else step
        runs = [(e.step, e.run) for e in self._kept if last is None or e.step <= last]
        return began(runs)

    def record(self) -> dict[str, Any]:
        """Plain values, as JSON takes them."""
        origin = self.began() if self._kept else None
        return self.timeline().record() | {
            "events": [asdict(each) for each in self.events],
            "began": None if origin is None else asdict(origin),
            "alerts": [asdict(each) for each in self.alerts],
            "kept": list(self.steps),
            "losses": [list(each) for each in self.losses],
            "dropped": dict(self.dropped),
        }

    @property
    def memory(self) -> int:
        """Bytes that the kept runs' distributions take."""
        return sum(_size(each.run) for each in self._kept)

    def __repr__(self) -> str:
        kept = f"runs of {len(self._kept)} steps are kept" if self._kept else "no step is kept"
        return f"{type(self).__name__}({self.model}: {kept}, {len(self.events)} events)"


def _size(run: Run) -> int:
    tallies = (
        sketch.tally
        for op in run.ops
        for sketch in (op.activation, op.gradient)
        if sketch is not None
    )
    params = (p.gradient.tally for p in run.params if p.gradient is not None)
    return sum(t.patterns.nbytes + t.counts.nbytes for t in (*tallies, *params))


# ---- as segments of a file


def begin_segment(recording: Recording) -> dict[str, Any]:
    return {"schema": SCHEMA, "begin": recording.model}


def row_segment(row: StepRow) -> dict[str, Any]:
    return {"row": as_plain(row)}


def run_segment(sampled: SampledStep) -> dict[str, Any]:
    facts = as_plain(sampled.facts)
    return {"step": sampled.step, "facts": facts, **saved_record(sampled.run, "to a recording")}


def event_segment(recording: Recording) -> dict[str, Any]:
    losses = [[step, as_plain(loss)] for step, loss in recording.losses]
    return {
        "event": as_plain(recording.events[-1]),
        "losses": losses,
        "dropped": dict(recording.dropped),
        "alerts": [as_plain(each) for each in recording.alerts],
    }


def load_recording(path: str | Path) -> Recording:
    """What a monitor wrote: every segment that is whole.

    Raises:
        InvalidRecord: for what is no such file, and for a newer one.
    """
    recording = Recording()
    begun = False
    for segment in segments(Path(path)):
        if "begin" in segment:
            _require_schema(segment, path)
            begun, recording.model = True, str(segment["begin"])
            continue
        try:
            _take(recording, segment, path)
        except Misfit as wrong:
            raise InvalidRecord(f"{path} holds a segment that does not fit{wrong}") from None
    if not begun:
        raise InvalidRecord(f"{path} is no recording of a monitor: its first segment is not whole")
    return recording


def _require_schema(segment: Mapping[str, Any], path: str | Path) -> None:
    if segment.get("schema") != SCHEMA:
        raise InvalidRecord(
            f"{path} has schema {segment.get('schema')}, this version reads {SCHEMA}; read it with "
            "the depthscale that wrote it"
        )


def _take(recording: Recording, segment: dict[str, Any], path: str | Path) -> None:
    if "row" in segment:
        recording.add_row(rebuilt(StepRow, segment["row"]))
    elif "run" in segment:
        facts = rebuilt(StepFacts, segment.get("facts"))
        step = rebuilt(int, segment.get("step"))
        if step not in recording.steps:
            recording.add(SampledStep(step, saved_run(segment, path), facts))
    elif "event" in segment:
        recording.events.append(rebuilt(Event, segment["event"]))
        losses = rebuilt(tuple[tuple[int, float], ...], segment.get("losses"))
        recording.losses.extend(losses)
        dropped = rebuilt(Mapping[str, int], segment.get("dropped"))
        recording.dropped.update(dropped)
        for each in rebuilt(tuple[Alert, ...], segment.get("alerts")):
            recording.add_alert(each)
