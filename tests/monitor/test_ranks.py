"""Several processes, each with its share of a batch: what they saw is added up, alike on all."""

import socket
import subprocess
import sys
from math import log2
from pathlib import Path

import pytest
import torch

import depthscale as ds
from monitor.ranks_at_work import batch, network

SCRIPT = Path(__file__).with_name("ranks_at_work.py")


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def at_work(what: str, folder: Path, world: int = 2) -> list[str]:
    """Run the ranks to their end. / returns: what each could not look at."""
    port = str(free_port())
    command = [sys.executable, "-W", "ignore", str(SCRIPT)]
    ranks = [
        subprocess.Popen(
            [*command, str(rank), str(world), port, what, str(folder)], stderr=subprocess.PIPE
        )
        for rank in range(world)
    ]
    for rank in ranks:
        _, said = rank.communicate(timeout=240)
        assert rank.returncode == 0 or what == "dies", said.decode()
    texts = [folder / f"{rank}.txt" for rank in range(world)]
    return [text.read_text() if text.exists() else "" for text in texts]


def alone() -> ds.Run:
    net = network()
    monitor = ds.Monitor(net, every=1)
    with monitor.step():
        net(batch()).square().mean().backward()
    return monitor.at(0)


@pytest.mark.parametrize(("what", "world"), [("ddp", 2), ("fsdp2", 4)])
def test_counts_are_those_of_all_ranks_tensors(what: str, world: int, tmp_path: Path) -> None:
    assert at_work(what, tmp_path, world) == [""] * world
    runs = [ds.load(tmp_path / f"{rank}.json") for rank in range(world)]
    tensors = [torch.load(tmp_path / f"{rank}.pt") for rank in range(world)]
    one, shift = alone(), -int(log2(world))
    for run in runs:
        assert run.passes == world
        for name in map(str, range(12)):
            for sketch, key, scale in (
                (run[name].activation, name, 0),
                (run[name].gradient, f"{name}'", shift),
            ):
                expected = ds.Sketch.of(torch.cat([each[key] for each in tensors]), scale)
                assert sketch is not None
                assert sketch.log2_scale == expected.log2_scale
                assert (sketch.tally.patterns == expected.tally.patterns).all()
                assert (sketch.tally.counts == expected.tally.counts).all()
            assert run[name].log2_activation_ms == pytest.approx(one[name].log2_activation_ms)
            assert run[name].log2_gradient_ms == pytest.approx(one[name].log2_gradient_ms)
        assert run["3"].weights[0][:2] == one["3"].weights[0][:2]
        assert run["3"].weights[0][2] == pytest.approx(one["3"].weights[0][2], rel=1e-6)
        (weight,) = (p for p in run.params if p.name == "3.weight")
        assert weight.gradient is not None
        assert weight.gradient.count == weight.shape[0] * weight.shape[1]
        assert ds.growth(run).rate == pytest.approx(ds.growth(one).rate, rel=1e-6)


def test_a_probe_of_every_rank_is_one_run(tmp_path: Path) -> None:
    at_work("probe", tmp_path)
    a, b = (ds.load(tmp_path / f"{rank}.json") for rank in range(2))
    assert [op.log2_gradient_ms for op in a] == [op.log2_gradient_ms for op in b]
    one = ds.probe(network(), batch())
    for name in map(str, range(12)):
        assert a[name].activation is not None
        assert one[name].activation is not None
        assert a[name].activation.count == one[name].activation.count  # type: ignore[union-attr]
        assert a[name].log2_activation_ms == pytest.approx(one[name].log2_activation_ms)


def test_batch_norm_of_one_rank_is_said(tmp_path: Path) -> None:
    assert at_work("batchnorm", tmp_path) == ["", ""]
    notes = ds.load(tmp_path / "1.json").notes
    assert "Batch Norm takes the statistics of each rank's own share of the batch" in notes


def test_the_same_inputs_are_not_counted_twice(tmp_path: Path) -> None:
    assert at_work("same", tmp_path) == ["", ""]
    run = ds.load(tmp_path / "0.json")
    assert run.passes == 1
    assert any("same inputs" in note for note in run.notes)


def test_ranks_that_differ_say_so_on_all_ranks(tmp_path: Path) -> None:
    said = at_work("differ", tmp_path)
    for text in said:
        assert "rank 1 runs other operations than rank 0, from 5 (tanh) on" in text
        assert "where rank 0 has 5 (relu)" in text


def test_a_rank_that_ended_is_not_waited_for(tmp_path: Path) -> None:
    said = at_work("dies", tmp_path)
    assert "rank 1 of 2 sent nothing within 3 s" in said[0]
