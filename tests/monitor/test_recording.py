"""The flight recorder: what is written, when, and what can be read of it."""

import gc
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import depthscale as ds
from depthscale.monitor import load_recording
from depthscale.monitor.append_only import Appender, segments
from depthscale.monitor.flight_recorder import FlightRecorder
from depthscale.monitor.recording import Recording, SampledStep, Why
from depthscale.monitor.step_row import StepFacts


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(*[part for _ in range(4) for part in (nn.Linear(8, 8), nn.Tanh())])


def step(monitor: ds.Monitor, model: nn.Module, factor: float = 1.0) -> None:
    with monitor.step():
        loss = F.mse_loss(model(torch.ones(4, 8)), torch.zeros(4, 8)) * factor
        loss.backward()
    monitor.log_loss(loss)


def test_a_run_comes_back_as_it_was(tmp_path: Path) -> None:
    model, path = net(), tmp_path / "run.dsmon"
    with ds.Monitor(model, every=2, out=path, keep=3) as monitor:
        for _ in range(9):
            step(monitor, model)
        monitor.write()
    loaded = load_recording(path)
    assert loaded.model == "Sequential"
    assert loaded.steps == (4, 6, 8)
    assert [row.step for row in loaded.timeline()] == [0, 2, 4, 6, 8]
    assert repr(loaded.timeline().rows) == repr(monitor.timeline().rows)  # nan among them
    assert list(loaded.losses) == list(monitor.recording.losses)
    assert [e.why for e in loaded.events] == [Why.ASKED]
    for at in loaded.steps:
        assert ds.growth(loaded.at(at)).rate == ds.growth(monitor.at(at)).rate
        assert ds.diagnose(loaded.at(at)).verdict == ds.diagnose(monitor.at(at)).verdict
    with pytest.raises(KeyError, match="the nearest that are: 4, 6, 8"):
        loaded.at(5)


@pytest.mark.parametrize("why", ["NOT_FINITE", "JUMP", "EXCEPTION"])
def test_it_writes_when_something_goes_wrong(why: str, tmp_path: Path) -> None:
    model, path = net(), tmp_path / "run.dsmon"
    monitor = ds.Monitor(model, every=5, out=path)

    def train() -> None:
        with monitor:
            for k in range(60):
                bad = k == 47
                if bad and why == "EXCEPTION":
                    raise ValueError("theirs")
                factor = {"NOT_FINITE": float("nan"), "JUMP": 100.0}.get(why, 1.0)
                step(monitor, model, factor if bad else 1.0)

    if why == "EXCEPTION":
        with pytest.raises(ValueError, match="theirs"):
            train()
    else:
        train()
    (event,) = load_recording(path).events
    assert event.why is Why[why]
    assert event.step == (46 if why == "EXCEPTION" else 47)
    assert load_recording(path).steps == tuple(range(0, 50, 5))


def test_ordinary_noise_is_no_jump(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    recorder = FlightRecorder(Recording(), None)
    for k in range(3000):
        loss = 2 + torch.randn((), generator=generator).item() * 0.2
        assert recorder.add_loss(k, loss) is None
    event = recorder.add_loss(3000, 6.0)
    assert event is not None
    assert event.why is Why.JUMP


def test_what_a_killed_process_left_half_written_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "x.dsmon"
    appender = Appender(path)
    for k in range(3):
        appender.add({"k": k})
    whole = path.read_bytes()
    ends = [i for i in range(len(whole) + 1) if whole[:i].endswith(b"") and i]
    for end in ends:
        path.write_bytes(whole[:end] if end < len(whole) else whole)
        Appender(path).add({"k": "behind"})
        found = [each["k"] for each in segments(path)]
        assert found[-1] == "behind"
        assert found[:-1] == list(range(len(found) - 1))


def test_a_damaged_byte_costs_one_segment(tmp_path: Path) -> None:
    path = tmp_path / "x.dsmon"
    appender = Appender(path)
    for k in range(3):
        appender.add({"k": k})
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        found = [each["k"] for each in segments(path)]
        assert found == [k for k in range(3) if k in found]
        assert len(found) >= 2


_WRITES = """
import sys
from depthscale.monitor.append_only import Appender
from pathlib import Path
appender = Appender(Path(sys.argv[1]))
appender.add({"begin": "x", "schema": "depthscale-monitor/1"})
print("begun", flush=True)
k = 0
while True:
    appender.add({"k": k, "much": list(range(k, k + 5000))})
    k += 1
"""


def killed(path: Path, after: float) -> int:
    """Kill a process while it writes. / returns: how many whole segments there are."""
    writer = subprocess.Popen([sys.executable, "-c", _WRITES, str(path)], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    writer.stdout.readline()
    with pytest.raises(subprocess.TimeoutExpired):
        writer.wait(after)
    writer.kill()
    writer.wait()
    writer.stdout.close()
    found = list(segments(path))[1:]
    assert [each["k"] for each in found] == list(range(len(found)))
    return len(found)


def test_a_killed_writer_leaves_whole_segments(tmp_path: Path) -> None:
    assert max(killed(tmp_path / f"{k}.dsmon", 0.02 * (k + 1)) for k in range(3)) > 0


@pytest.mark.slow
def test_a_thousand_kills_leave_whole_segments(tmp_path: Path) -> None:
    for k in range(1000):
        killed(tmp_path / "run.dsmon", 0.0005 * (k % 40 + 1))
        (tmp_path / "run.dsmon").unlink()


_SIGNALLED = """
import os, signal, sys
sys.path.insert(0, "tests/monitor")
import torch, depthscale as ds
model = torch.nn.Linear(4, 4)
with ds.Monitor(model, every=1, out=sys.argv[1]) as monitor:
    for _ in range(3):
        with monitor.step():
            model(torch.ones(2, 4)).sum().backward()
    os.kill(os.getpid(), signal.SIGTERM)
print("alive")
"""


def test_a_signal_writes_and_does_what_it_would_have_done(tmp_path: Path) -> None:
    path = tmp_path / "run.dsmon"
    ended = subprocess.run(
        [sys.executable, "-c", _SIGNALLED, str(path)],
        capture_output=True,
        env={**os.environ},
        check=False,
    )
    assert ended.returncode == -signal.SIGTERM
    assert ended.stdout == b""
    loaded = load_recording(path)
    assert [(e.why, e.detail) for e in loaded.events] == [(Why.SIGNAL, "SIGTERM")]
    assert loaded.steps == (0, 1, 2)


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.dsmon"
    for content in (b"", b"depthscale", b"\x93DSMON\r\n" * 3):
        path.write_bytes(content)
        with pytest.raises(ds.InvalidRecord):
            load_recording(path)
    with pytest.raises(ds.InvalidRecord, match="cannot read"):
        load_recording(tmp_path / "none")
    path.unlink()
    Appender(path).add({"schema": "depthscale-monitor/9", "begin": "x"})
    with pytest.raises(ds.InvalidRecord, match="schema depthscale-monitor/9"):
        load_recording(path)
    path.unlink()
    appender = Appender(path)
    appender.add({"schema": "depthscale-monitor/1", "begin": "x"})
    appender.add({"row": {"is": "StepRow", "step": "one"}})
    with pytest.raises(ds.InvalidRecord, match="step is 'one'"):
        load_recording(path)


def test_memory_is_that_of_the_steps_that_are_kept() -> None:
    model = net()
    monitor = ds.Monitor(model, every=1, keep=4)
    sizes = []
    for _ in range(12):
        step(monitor, model)
        sizes.append(monitor.memory)
    assert max(sizes[4:]) < 1.5 * sizes[3]
    assert len(monitor.timeline()) == 12


def test_the_timeline_of_a_long_run_thins_out() -> None:
    recording = Recording(keep=1)
    monitor = ds.Monitor(model := net(), every=1)
    step(monitor, model)
    run = monitor.at(0)
    for k in range(10_000):
        recording.add(SampledStep(k, run, StepFacts()))
    rows = [row.step for row in recording.timeline()]
    assert len(rows) <= 4096 + 1
    assert rows[0] == 0
    assert rows[-1] == 9999
    assert rows == sorted(set(rows))


def test_a_finding_stops_training_where_it_was_asked_to(tmp_path: Path) -> None:
    model = net()
    monitor = ds.Monitor(model, every=1, stop_on="error", out=tmp_path / "run.dsmon")

    def train() -> Any:
        with monitor:
            for k in range(5):
                if k == 3:
                    with torch.no_grad():
                        model.get_parameter("0.weight")[0, 0] = float("nan")
                step(monitor, model)

    with pytest.raises(ds.TrainingStopped, match="step 3: error"):
        train()
    loaded = load_recording(tmp_path / "run.dsmon")
    assert [e.step for e in loaded.events] == [3, 3]
    assert [e.why for e in loaded.events] == [Why.NOT_FINITE, Why.ALERT]
    assert [a.step for a in loaded.alerts if a.severity == "error"] == [3]


@pytest.mark.slow
def test_memory_is_flat_over_ten_thousand_sampled_steps(tmp_path: Path) -> None:
    model = net()
    monitor = ds.Monitor(model, every=1, keep=4, out=tmp_path / "run.dsmon")
    held = []
    for k in range(10_000):
        step(monitor, model)
        if k in (4999, 9999):  # from 4,096 on the timeline holds its share
            gc.collect()
            held.append(int(Path("/proc/self/statm").read_text().split()[1]) * 4096)
    assert held[1] - held[0] < 8 << 20
    assert monitor.dropped == {}
