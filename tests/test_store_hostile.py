"""A file from anybody is refused in words, or is a run of which everything can be asked."""

import copy
import json
import os
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import depthscale as ds
from depthscale._report.render import to_html
from depthscale.errors import InvalidInput
from depthscale.files import read_array
from depthscale.store import dumps, record

SPEC = ds.NetSpec(depth=4, width=8, batch=6, norm="batch")
_PER_KIND = 12  # mutated files; set DEPTHSCALE_FUZZ for more
_SECONDS = 20  # of processor time, after which a file is said to hang


class Blocks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.ModuleList([nn.Linear(8, 8) for _ in range(4)])
        self.norm = nn.LayerNorm(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for each in self.maps:
            x = x + torch.relu(each(self.norm(x)))
        return torch.softmax(x, -1)


def stepped() -> ds.Run:
    """A probe that was given a loss and an optimizer."""
    model = Blocks()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return ds.probe(model, torch.randn(6, 8), loss=lambda y: y.sin().mean(), optimizer=optimizer)


RUNS: dict[str, Callable[[], ds.Run]] = {
    "simulated": lambda: ds.simulate(SPEC, seeds=2),
    "predicted": lambda: ds.predict(ds.NetSpec(depth=4, width=8, residual=ds.Residual())),
    "theory of networks": lambda: ds.predict(ds.simulate(SPEC, seeds=2)),
    "probed": lambda: ds.probe(Blocks(), torch.randn(6, 8), params=True, norms=True),
    "stepped": lambda: stepped(),
    "probed again": lambda: ds.probe(lambda: (Blocks(), torch.randn(6, 8)), repeats=2),
    "theory of a model": lambda: ds.predict(ds.probe(Blocks(), torch.randn(6, 8))),
}


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Of each kind of run what its file holds."""
    path = tmp_path_factory.mktemp("records") / "run.json"
    found = {}
    for name, make in RUNS.items():
        torch.manual_seed(0)
        ds.save(make(), path)
        found[name] = json.loads(path.read_text())
    return found


def asked(run: ds.Run, path: Path) -> None:
    """Everything that is asked of a run; depthscale's own refusals are answers, too."""

    def answer(ask: Callable[[], object]) -> None:
        try:
            ask()
        except ds.DepthscaleError:
            return

    answer(lambda: (repr(run), *map(repr, run), run._repr_html_()))
    answer(lambda: repr(ds.diagnose(run)))
    answer(lambda: repr(ds.ledger(run)))
    answer(lambda: repr(ds.growth(run)))
    answer(lambda: repr(ds.compare(run, run)))
    answer(lambda: ds.predict(run))
    dumps(record(run))
    to_html(run)
    ds.save(run, path)
    ds.load(path)


@pytest.mark.parametrize("name", RUNS)
def test_every_kind_of_run_is_asked_everything_once_it_is_loaded(
    name: str, records: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "run.json").write_text(json.dumps(records[name]))
    asked(ds.load(tmp_path / "run.json"), tmp_path / "again.json")


def put(loaded: dict[str, Any], where: str, value: Any) -> dict[str, Any]:
    """A copy with a value at a place that is written like `origin.spec.depth` or `graph.ops.1`."""
    changed = copy.deepcopy(loaded)
    *above, last = [int(key) if key.isdigit() else key for key in where.split(".")]
    part = changed["run"]
    for key in above:
        part = part[key]
    part[last] = value
    return changed


def nested(depth: int) -> list[Any]:
    inner: list[Any] = []
    for _ in range(depth):
        inner = [inner]
    return inner


@pytest.mark.parametrize(
    ("kind", "where", "value", "said"),
    [
        ("simulated", "origin.spec.depth", 10**9, "origin.spec is not that of 13 operations"),
        ("predicted", "origin.spec.residual.layers", 10**9, "origin.spec is not that of"),
        ("simulated", "origin.spec.batch", 10**9, "origin.spec is not that of the graph"),
        ("simulated", "origin.spec.norm", {}, "origin.spec is no description: unknown norm"),
        ("simulated", "networks", 10**6, "networks is not that of 2 samples"),
        ("simulated", "graph.ops.3.layer", 9, "graph.ops is not in the order of its layers"),
        ("simulated", "graph.samples", "12", r"graph.samples is '12', not a number"),
        ("theory of a model", "origin.spec.model", [], "origin.spec has a part that is no text"),
        ("theory of a model", "origin.log2_gains", [], r"origin.log2_gains has shape \(0,\)"),
        ("probed", "graph.ops.1.call.settings", {"eps": nested(900)}, "nests more than 8 lists"),
        ("probed", "graph.ops.1.call.size", -1, r"graph.ops\[1\].call.size is -1, not at least 0"),
        ("probed", "graph.ops.1.call.size", True, "call.size is True, not a whole number"),
        ("probed", "graph.ops.1.call.size", 10**30, "not a whole number that 64 bits hold"),
        ("probed", "graph.ops.1.call.weights", [["w", [8], -1.0]], "is -1.0, not at least 0"),
        ("probed", "graph.ops.1.call.paths", [1], r"ops\[1\] reads an operation that does not run"),
        ("probed", "graph.ops.2.call", None, "graph.ops mixes recorded calls"),
        ("probed", "graph.modules.0.path", 7, r"graph.modules\[0\].path is 7, not a text"),
        ("probed", "origin.environment", {"torch": 2}, r"origin.environment\['torch'\] is 2, not"),
        ("probed", "origin.details", [], "origin.details is not that of 18 operations"),
        ("probed", "origin.colour", 1, "origin holds 'colour', which a Probed has not"),
        ("probed", "origin.sinks", [[17, []]], "origin.sinks is not that of 18 operations and 1"),
        ("probed", "origin.params.0.fate.kind", "odd", r"fate.kind is 'odd', not one of moves"),
        ("probed", "origin.params.0.fate.op", 99, "origin.params names no operation"),
        ("stepped", "origin.params.0.turn.group", 1, "origin.params names no group of the optim"),
        ("stepped", "origin.params.0.turn.invariance", "odd", "is 'odd', not one of rows"),
        ("stepped", "origin.step", None, "origin.params names no group of the optimizer"),
        ("probed", "readings.log2_gradient_norm2", [], "readings.log2_gradient_norm2 has shape"),
        ("probed", "readings.edge_sizes.0", 0.5, "readings.edge_sizes is 0.5, not a whole number"),
        ("probed", "readings.edge_sizes.0", -3, "readings.edge_sizes is below 0"),
        ("probed", "readings.activation.log2_samples", [[0.0], [1, 2]], "rows of several lengths"),
        ("probed", "readings.gradient_sketches", [], "readings.is_counted holds, and there are no"),
    ],
)
def test_a_record_whose_parts_do_not_fit_is_refused_by_the_part(
    kind: str, where: str, value: Any, said: str, records: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps(put(records[kind], where, value)))
    with pytest.raises(ds.InvalidRecord, match=rf"is not a whole record: run\..*{said}"):
        ds.load(path)


def test_a_run_that_could_not_be_loaded_is_not_saved(tmp_path: Path) -> None:
    run = ds.probe(Blocks(), torch.randn(6, 8))
    (tmp_path / "run.json").write_text("old")
    call = run.graph.ops[1].call
    assert call is not None
    object.__setattr__(call, "paths", (1,))
    with pytest.raises(ds.InvalidRecord, match=r"cannot save .*ops\[1\] reads an operation"):
        ds.save(run, tmp_path / "run.json")
    assert (tmp_path / "run.json").read_text() == "old"


@pytest.mark.parametrize("name", ["nan", "inf", "-inf"])
def test_a_module_may_be_named_as_a_number_is_spelled(name: str, tmp_path: Path) -> None:
    model = nn.Sequential()
    model.add_module(name, nn.Linear(8, 8))
    model.add_module("relu", nn.ReLU())
    trace = ds.probe(model, torch.randn(6, 8), params=True)
    ds.save(trace, tmp_path / "run.json")
    back = ds.load(tmp_path / "run.json")
    assert back.ops[1].name == back.ops[1].module == trace.ops[1].name == name
    assert [each.name for each in back.params] == [f"{name}.weight", f"{name}.bias"]
    asked(back, tmp_path / "again.json")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_and_a_device_are_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(ds.InvalidRecord, match="it is not a regular file"):
            ds.load(path)
        with pytest.raises(InvalidInput, match="it is not a regular file"):
            read_array(path)
    with pytest.raises(ds.InvalidRecord, match="cannot read"):
        ds.load(tmp_path)


# ---- files that are changed at random


class Hang(BaseException):
    """A file took longer than any should."""


@pytest.fixture
def no_hang() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGVTALRM, stop)
    yield
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    signal.signal(signal.SIGVTALRM, before)


WHOLE = (0, 1, 2, 3, 7, -1, 10**6, 10**9, 2**40)
REAL = (0.0, 1.0, -1.0, 0.5, 1e300, -1e300, 1e-300, 5e3, -5e3, "nan", "inf", "-inf")
WORDS = (
    *("", "nan", "x", "<b>", "\u202e", "loss", "input", "0", "a.b", "float16", "complex64"),
    *("linear", "conv2d", "max_pool2d", "batch_norm", "layer_norm", "relu", "softmax", "add"),
    *("mul", "matmul", "embedding", "cross_entropy", "lstm_cell", "exp", "sum", "none", "moves"),
    *("shared", "callable", "given", "group", "unit", "orthogonal", "eval"),
)
OTHER = (None, [], {}, [[]], [0], ["a"], {"is": "Sketch"}, {"is": "Linear"}, nested(5), nested(900))


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every part of a file."""
    yield above
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*above, key))


def changed(value: Any, rng: random.Random) -> Any:
    """Mostly something of the same type, which is the more dangerous."""
    match value:
        case _ if rng.random() < 0.2:
            return rng.choice((*WHOLE, *REAL, *WORDS, *OTHER))
        case bool():
            return not value
        case int():
            return rng.choice((*WHOLE, value + 1, -value))
        case float() | "nan" | "inf" | "-inf":
            return rng.choice(REAL)
        case str():
            return rng.choice((*WORDS, value[:-1], value + "A"))
        case list():
            return rng.choice([value[::-1], value[1:], value + value[-1:], []])
        case dict():
            return {key: one for key, one in value.items() if rng.random() < 0.8}
    return rng.choice((*WHOLE, *REAL))


def mutated(loaded: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """A file with one part changed, or a few; half the parts lie near the top."""
    result = copy.deepcopy(loaded)
    ways = list(places(loaded["run"], ("run",)))
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        way = rng.choice(ways)
        *above, last = way[: rng.randint(2, len(way))] if rng.random() < 0.5 else way
        part = result
        try:
            for key in above:
                part = part[key]
            part[last] = changed(part[last], rng)
        except (IndexError, KeyError, TypeError):
            continue  # an earlier change took it away
    return result


@pytest.mark.parametrize("kind", RUNS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_changed_file_is_refused_or_answers(
    kind: str, records: dict[str, Any], tmp_path: Path, no_hang: None
) -> None:
    path, seed = tmp_path / "run.json", int(os.environ.get("DEPTHSCALE_FUZZ_SEED", "0"))
    loaded = 0
    for k in range(int(os.environ.get("DEPTHSCALE_FUZZ", _PER_KIND))):
        rng = random.Random(f"{kind} {seed} {k}")
        path.write_text(json.dumps(mutated(records[kind], rng)))
        signal.setitimer(signal.ITIMER_VIRTUAL, _SECONDS)
        try:
            asked(ds.load(path), tmp_path / "again.json")
            loaded += 1
        except ds.InvalidRecord:
            continue
        except BaseException as fault:
            fault.add_note(f"{kind}, seed {seed}, file {k}")
            raise
    assert loaded, "no changed file was loaded: the changes are too coarse to tell anything"


def test_bytes_changed_at_random_are_refused_or_answer(
    records: dict[str, Any], tmp_path: Path
) -> None:
    rng, text = random.Random(0), json.dumps(records["probed"]).encode()
    for _ in range(100):
        damaged = bytearray(text[: rng.choice((len(text), rng.randrange(len(text))))])
        for _ in range(3):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        (tmp_path / "run.json").write_bytes(damaged)
        try:
            ds.load(tmp_path / "run.json")
        except ds.InvalidRecord:
            continue


def test_the_spelled_numbers_of_arrays_come_back(tmp_path: Path) -> None:
    run = ds.predict(SPEC)
    odd = np.array([np.nan, np.inf, -np.inf, 1e308, 5e-324, *np.zeros(8)])
    object.__setattr__(run.readings.gradient, "relative_stderr", odd)
    ds.save(run, tmp_path / "run.json")
    assert np.array_equal(
        ds.load(tmp_path / "run.json").readings.gradient.relative_stderr, odd, equal_nan=True
    )
