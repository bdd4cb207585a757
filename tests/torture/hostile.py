"""Damaged files and hostile names: refused or shown harmlessly, never a traceback."""

import base64
import copy
import json
import random
import resource
import tempfile
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

import depthscale as ds
from depthscale._report import probe_view, to_html
from depthscale.cli.output import console
from torture import verbs

# ---- files


def _probed(**settings: Any) -> ds.Run:
    torch.manual_seed(0)
    parts = (nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU())
    model = nn.Sequential(*parts, nn.Linear(8, 8), nn.LayerNorm(8), nn.Softmax(1))
    return ds.probe(model, torch.randn(4, 8), **settings)


_RUNS: dict[str, Callable[[], ds.Run]] = {
    "probed": _probed,
    "probed in full": lambda: _probed(params=True, norms=True, repeats=2, verify=True),
    "simulated": lambda: ds.simulate(ds.NetSpec(depth=3, width=8, batch=8), seeds=2),
    "predicted": lambda: ds.predict(ds.NetSpec(depth=3, width=8, batch=8, norm="batch")),
    "predicted of a probed": lambda: ds.predict(_probed()),
}


@cache
def _saved(name: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.json"
        ds.save(_RUNS[name](), path)
        return path.read_text()


_ODD: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1,
    2**31,
    2**63,
    10**30,
    0.5,
    -0.0,
    1e308,
    -1e308,
    "inf",
    "-inf",
    "nan",
    "",
    "x",
    "9" * 400,
    [],
    [[]],
    [1, "a", None],
    {},
    {"is": "Run"},
    {"is": "Sketch"},
)


_DEEP = 20  # more than a record nests


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container inside a value, and every key in it; not far into a nest that was put there,
    lest another one in it be deeper than JSON is written."""
    waiting = [(value, _pairs(value))]
    while waiting:
        holder, pairs = waiting[-1]
        for key, each in pairs:
            yield holder, key
            if isinstance(each, dict | list) and len(waiting) < _DEEP:
                waiting.append((each, _pairs(each)))
                break
        else:
            waiting.pop()


def _pairs(value: Any) -> Iterator[tuple[Any, Any]]:
    return iter(value.items() if isinstance(value, dict) else enumerate(value))


def _nested(depth: int) -> Any:
    found: Any = []
    for _ in range(depth):
        found = [found]
    return found


def _copied(value: Any) -> Any:
    try:
        return copy.deepcopy(value)
    except RecursionError:  # nested by an earlier change
        return None


def _change(content: Any, drawn: random.Random) -> None:
    """One value in a record becomes another, goes, or is there twice."""
    places = list(_places(content["run"]))
    holder, key = drawn.choice(places)
    match drawn.randrange(9):
        case 0 | 1 | 2:
            holder[key] = drawn.choice(_ODD)
        case 3:
            del holder[key]
        case 4:
            other, place = drawn.choice(places)
            holder[key] = _copied(other[place])
        case 5 if isinstance(holder, list):
            holder.insert(drawn.randrange(len(holder) + 1), _copied(holder[key]))
        case 6:
            holder[key] = _nested(drawn.choice((1, 50, 900)))
        case 7 if isinstance(holder[key], int | float):
            holder[key] = holder[key] * drawn.choice((-1, 0, 10, 1e9)) + drawn.choice((0, 1, 0.5))
        case _ if isinstance(holder[key], str):
            holder[key] = _flipped(holder[key], drawn)
        case _:
            holder[key] = drawn.choice(_ODD)


def _flipped(text: str, drawn: random.Random) -> str:
    """Of a sketch, with a byte changed; of a word, with a letter."""
    try:
        raw = bytearray(base64.b64decode(text, validate=True))
        raw[drawn.randrange(len(raw))] ^= 1 << drawn.randrange(8)
        return base64.b64encode(raw).decode()
    except ValueError:
        return text[: len(text) // 2] + drawn.choice(("\0", "<b>", "\u202e", "é")) + text[1:]


def damaged(seed: int) -> bytes:
    """A saved run with something wrong in it."""
    drawn = random.Random(seed)
    text = _saved(drawn.choice(list(_RUNS)))
    if drawn.random() < 0.15:
        raw = bytearray(text.encode())
        for _ in range(drawn.randrange(1, 4)):
            raw[drawn.randrange(len(raw))] = drawn.randrange(256)
        return bytes(raw[: drawn.randrange(len(raw))] if drawn.random() < 0.3 else raw)
    content = json.loads(text)
    for _ in range(drawn.choice((1, 1, 1, 2, 5))):
        _change(content, drawn)
    return json.dumps(content).encode()


def damaged_file(seed: int) -> list[str]:
    """A damaged file: refused, or good for every verb."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.json"
        path.write_bytes(damaged(seed))
        try:
            run = ds.load(path)
        except ds.DepthscaleError:
            return []
        except Exception as wrong:
            return [f"load: {verbs.where(wrong)}"]
        again = {"save": lambda run: ds.save(run, path), "load again": lambda run: ds.load(path)}
        drawn = verbs.DRAWN if seed % 20 == 0 else {}
        return verbs.failures(run, {**verbs.VERBS, **drawn, **again})


def limit_memory(gigabytes: int = 8) -> None:
    """A damaged number may ask for more memory than there is: then for an error."""
    size = gigabytes * 2**30
    resource.setrlimit(resource.RLIMIT_DATA, (size, size))


# ---- names

NAMES = (
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "a\"b'c",
    "&amp;&lt;",
    "\x1b[31mred\x1b[0m",
    "bell\x07",
    "line\nbreak",
    "tab\ttab",
    "null\x00",
    "\u202egnp.exe",
    "\u2066isolate\u2069",
    "\u200fmark",
    "nan",
    "inf",
    "",
    " ",
    "x" * 5000,
    "[bold]markup[/bold]",
    "{{template}}",
    "${dollar}",
    "`code`",
    "\ud800",
    "\ufeffmark",
    "\u2028line",
    "None",
    "0",
    "is",
    "__class__",
    "漢字🎉",
)


def _named(drawn: random.Random) -> nn.Module:
    """A model whose modules, parameters and classes have hostile names."""
    model = nn.Module()
    chosen = [name for name in drawn.sample(NAMES, 4) if name and "." not in name]
    for name in chosen:
        part = type(drawn.choice(NAMES).replace("\0", "") or "Part", (nn.Linear,), {})(6, 6)
        model._modules[name] = part

    def forward(x: torch.Tensor) -> torch.Tensor:
        for part in model._modules.values():
            x = part(x).tanh() if part is not None else x
        return x

    model.forward = forward
    return model


def _harmful(text: str) -> set[str]:
    """Characters that steer a terminal or the order of reading, joiners aside."""
    steer = {c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp")}
    return steer - {*"\n\t\u200b\u200c\u200d\u00ad\u2060"}


def hostile_names(seed: int) -> list[str]:
    """Names that would run, colour or turn round what is read."""
    drawn = random.Random(seed)
    run = ds.probe(_named(drawn), torch.randn(4, 6), params=True)
    found = verbs.failures(run, {**verbs.VERBS, **verbs.DRAWN})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.json"
        try:
            ds.save(run, path)
            run = ds.load(path)
        except Exception as wrong:
            found.append(f"save or load: {verbs.where(wrong)}")
    terminal = console()
    with terminal.capture() as captured:
        for line in probe_view(run, ds.diagnose(run), whole=True, width=120, unicode=True):
            terminal.print(line, soft_wrap=isinstance(line, str))
    shown = {
        "terminal": captured.get(),
        "page": to_html(run),
        "notebook": run._repr_html_(),
    }
    for where, text in shown.items():
        if harmful := _harmful(text):
            found.append(f"{where} shows {sorted(map(ascii, harmful))}")
        if where in ("page", "notebook") and ("<script>alert" in text or "<img src=x" in text):
            found.append(f"{where} runs a name")
    return found
