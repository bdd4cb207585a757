"""`depthscale probe` as a user types it."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import commands
import depthscale as ds

MODELS = """
import torch
from torch import nn

def bn(depth=20):
    layers = [(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU()) for _ in range(depth)]
    return nn.Sequential(*(part for layer in layers for part in layer))

def with_inputs():
    return bn(4), torch.randn(8, 64)

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a_body_with_a_name_longer_than_a_column_of_any_terminal_so_its_start_goes = bn(4)
    def forward(self, x):
        return self.a_body_with_a_name_longer_than_a_column_of_any_terminal_so_its_start_goes(x)

class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.wte, self.head = nn.Embedding(50, 16), nn.Linear(16, 50)
    def forward(self, input_ids, mask=None):
        return {"logits": self.head(self.wte(input_ids)), "hidden": self.wte(input_ids)}

class Cut(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = bn(4), bn(8)
    def forward(self, x):
        return self.second(self.first(x).detach())

class Heads(nn.Module):
    def __init__(self):
        super().__init__()
        parts = (nn.Linear(4, 4, bias=False) for _ in range(4))
        self.frozen, self.cut, self.small, self.large = parts
        self.idle = nn.Linear(4, 4)
        self.frozen.requires_grad_(False)
        nn.init.eye_(self.frozen.weight)
    def forward(self, x):
        x = self.frozen(torch.full_like(x, 3.0))
        return self.small(x) + 2 * self.large(x) + self.cut(x).detach()
def heads():
    return Heads(), torch.ones(4, 4)
def total(output):
    return output.sum()

class Less(nn.Module):
    def forward(self, x):
        return x * 0.9999
def small_steps():
    return nn.Sequential(*(Less() for _ in range(6)))

ready = bn(4)
number = 3
def needs(width):
    return bn(width)
def half(output):
    return (output ** 2).mean() / 2
def no_loss(output):
    return output
def broken():
    raise RuntimeError("no such\\nweights")
def not_a_model():
    return 7
"""


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file of models; what loading it adds to the interpreter goes again."""
    path = tmp_path / "my_models.py"
    path.write_text(MODELS)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("COLUMNS", "80")
    yield path
    sys.modules.pop("my_models", None)


def run(capsys: pytest.CaptureFixture[str], *argv: str | Path) -> tuple[int, str, str]:
    return commands.run(["probe", *map(str, argv)], capsys)


@pytest.mark.parametrize("name", ["bn", "Net", "ready"])
def test_a_model_is_named_in_a_file(
    name: str, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(capsys, f"{models}:{name}", "--input", "float32[8,64]")
    assert (status, err) == (0, "")
    assert "autograd nodes seen" in " ".join(out.split())


def test_a_model_is_named_in_a_module_or_by_a_dotted_path(
    models: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(models.parent))
    for target in ("my_models:with_inputs", "my_models.with_inputs"):
        assert run(capsys, target)[0] == 0
    assert run(capsys, "torch.nn.Tanh", "--input", "float32[4,8]")[0] == 0
    assert run(capsys, "torch.nn:Tanh", "--input", "float64[4,8]")[0] == 0


def test_a_module_is_looked_for_in_the_current_folder(
    models: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(models.parent)
    assert run(capsys, "my_models:with_inputs")[0] == 0


def test_a_model_type_of_transformers_is_made_with_random_weights_and_no_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.json"
    small = {"n_embd": 16, "n_layer": 3, "n_head": 2, "vocab_size": 50}
    config.write_text(json.dumps({"model_type": "gpt2", **small}))
    status, out, _ = run(capsys, f"hf:{config}", "--json", "-")
    assert status == 0
    record = json.loads(out)
    assert record["model"] == "GPT2LMHeadModel"
    assert record["ops"][-1]["shape"] == [2, 64, 50]
    for target, said in (
        ("hf:gpt22", "transformers has no model type 'gpt22' .* there is gpt2"),
        ("hf:no.json", "cannot read no.json"),
    ):
        status, out, err = run(capsys, target)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert re.search(said, err), err


def test_inputs_are_described_by_place_or_by_name(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    described = ("int64[2,8]<50", "int64[2,8] < 50")
    for each in described:
        assert run(capsys, f"{models}:Tokens", "--input", each)[0] == 0
    keywords = ("--kw", "input_ids=int64[2,8]<50", "--kw", "mask=bool[2,8]")
    status, out, _ = run(capsys, f"{models}:Tokens", *keywords, "--output", "hidden", "--json", "-")
    assert status == 0
    assert json.loads(out)["ops"][-1]["op"] != ""
    assert (
        run(
            capsys,
            f"{models}:with_inputs",
            "--loss",
            f"{models}:half",
            "--params",
            "--repeats",
            "2",
            "--verify",
        )[0]
        == 0
    )


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["bn"], "names no factory; write file.py:function"),
        (["nowhere.py:bn"], "there is no file nowhere.py"),
        (["FILE:bm", "--input", "float32[8,64]"], "has no 'bm' .* there is bn"),
        (["no_such_module:bn"], "cannot load no_such_module .* ModuleNotFoundError"),
        (["FILE:number"], "is a int; name a function or class"),
        (["FILE:needs"], "cannot be called without arguments"),
        (
            ["FILE:not_a_model"],
            "probe takes a torch.nn.Module, or a function that makes one, got int",
        ),
        (["FILE:broken"], "raised RuntimeError: no such weights"),
        (["FILE:bn"], "probe needs inputs"),
        (["FILE:bn", "--input", "float32(8,64)"], "is not understood; write"),
        (["FILE:bn", "--input", "float31[8,64]"], "unknown dtype 'float31'; choose one of"),
        (["FILE:bn", "--input", "int64[8]"], "integers need a limit"),
        (["FILE:bn", "--input", "int64[8]<0"], "integers need a limit from 1"),
        (["FILE:bn", "--input", "float32[8,64]<5"], "only integers take a limit"),
        (["FILE:bn", "--input", "float32[99999,99999]"], "has 9,999,800,001 values"),
        (
            ["FILE:bn", "--input", "float32[8,64]", "--kw", "x=bool[1]"],
            "give --input or --kw, not both",
        ),
        (["FILE:bn", "--kw", "float32[8,64]"], "has no value; write name="),
        (
            ["FILE:bn", "--input", "float32[8,63]"],
            "raised RuntimeError: .*shapes cannot be multiplied.*while probing",
        ),
        (["FILE:bn", "--input", "int64[8,64]<3"], "raised RuntimeError"),
        (["FILE:with_inputs", "--loss", "sum"], "loss must be one of independent, shared"),
        (["FILE:with_inputs", "--loss", "FILE:no_loss"], "scalar|one number|single"),
        (
            ["FILE:with_inputs", "--mode", "training"],
            "mode must be train, eval or None, got 'training'",
        ),
        (["FILE:with_inputs", "--repeats", "0"], "repeats must be a whole number from 1"),
        (["FILE:with_inputs", "--repeats", "1.5"], "not a whole number"),
        (["FILE:with_inputs", "--output", "logits"], "output"),
        (
            ["FILE:with_inputs", "--fail-on", "gradient-explods"],
            "names no severity .* and no rule; rules: activation-explodes",
        ),
        (["FILE:with_inputs", "--save", "no/such/place/t.json", "--json", "no.json/x"], "no"),
        (["FILE:with_inputs", "--colour"], "colour"),
        ([], "MODEL|argument"),
    ],
)
def test_wrong_use_ends_in_one_line_and_writes_nothing(
    argv: list[str],
    said: str,
    models: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work = models.parent / "empty"
    work.mkdir()
    monkeypatch.chdir(work)
    saving = [] if "--save" in argv else ["--save", "trace.json", "--json", "record.json"]
    status, out, err = run(
        capsys, *(each.replace("FILE", str(models)) for each in argv), *(saving if argv else [])
    )
    assert status == 2
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("depthscale: ")
    assert re.search(said, err), err
    assert list(work.rglob("*.json")) == []


def test_fail_on_gives_status_1_for_what_it_names(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = (f"{models}:bn", "--input", "float32[64,64]")
    assert run(capsys, *argv, "--fail-on", "gradient-explodes")[0] == 1
    assert run(capsys, *argv, "--fail-on", "gradient")[0] == 1
    assert run(capsys, *argv, "--fail-on", "warn", "--fail-on", "dead-units")[0] == 1
    assert run(capsys, *argv, "--fail-on", "error")[0] == 0
    assert run(capsys, *argv, "--fail-on", "gradient-vanishes")[0] == 0


def test_the_record_has_the_designs_keys_and_no_other_output(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(capsys, f"{models}:bn", "--input", "float32[64,64]", "--json", "-")
    assert (status, err) == (0, "")
    record = json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert record["schema"] == "depthscale/1"
    assert record["command"] == "probe"
    assert record["mode"] == "train"
    assert {"ops_seen", "ops_with_gradient", "autograd_nodes", "nodes_seen", "not_seen"} <= record[
        "coverage"
    ].keys()
    op = record["ops"][1]
    assert {"id", "name", "op", "shape", "activation", "gradient", "edges"} <= op.keys()
    assert {"ms", "rms", "zeros", "nonfinite"} <= op["activation"].keys()
    assert {"from", "gain_norm2", "gain_ms", "predicted_gain_ms"} <= op["edges"][0].keys()
    assert {"total_log2_norm2", "closure_error", "by_kind"} <= record["ledger"].keys()
    assert record["growth"]["rate"] == pytest.approx(1.47, abs=0.1)
    assert {"rule", "severity", "where", "says", "evidence", "source"} <= record["findings"][
        0
    ].keys()
    assert record["findings"][0]["rule"] == "gradient-explodes"


def test_a_saved_trace_is_read_back(
    models: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path, short = tmp_path / "trace.json", tmp_path / "record.json"
    assert (
        run(capsys, f"{models}:bn", "--input", "float32[64,64]", "--save", path, "--json", short)[0]
        == 0
    )
    trace = ds.load(path)
    assert isinstance(trace, ds.Run)
    found = ds.growth(trace)
    assert found is not None
    assert found.rate == json.loads(short.read_text())["growth"]["rate"]
    with pytest.raises(ds.InvalidRecord, match="only what --save or save wrote can be loaded"):
        ds.load(short)


GROWTHS = {
    "founding": r"growth: explodes x1\.2\d* per linear-batch_norm-relu, doubles in RMS every "
    r"3\.\d .mean square x1\.4\d* ± ",
    "vanilla": r"growth: steady .mean square x(1\.0|0\.9)\d* ± \S+ per linear-relu, 28 steps, "
    r"theory x",
    "ordered": r"growth: vanishes x0\.8\d* per linear-tanh, halves in RMS every \d",
    "pre_ln": r"growth: grows as depth\^[01](\.\d+)? .mean square., on average x1\.\d+ ± ",
    "turned": r"growth: turns: explodes x1\.4\d* in RMS over 14 steps, then vanishes x0\.7\d* in "
    r"RMS over 14 steps",
    "slow": r"growth: grows x1\.1 per mul, doubles in RMS every 7\.3 .mean square x1\.21 ± ",
    "slower": r"growth: shrinks x0\.9 per mul, halves in RMS every 6\.6 .mean square x0\.81 ± ",
    "one_large": r"growth: not well known, the jump at 6 included .mean square x\d+\.\d+ ± \S+ "
    r"per linear-relu, 4 steps",
    "jumps": r"growth: not well known, the jump at 30 included .mean square x\d\.\d+ ± ",
}
KNOWN_MODELS = """
from torch import nn
from known_networks import WIDTH, Residuals, batch_norm, layer_norm, mlp, turning
import torch

def founding(): return mlp(30, batch_norm, nn.ReLU, batch=128)
def vanilla(): return mlp(30, nn.ReLU)
def ordered(): return mlp(30, nn.Tanh, sigma_w2=0.7)
def pre_ln(): return Residuals(30, "pre", layer_norm), torch.randn(32, WIDTH)
def turned(): return turning(4.0, 1.0)

class Times(nn.Module):
    def __init__(self, by):
        super().__init__()
        self.by = by
    def forward(self, x): return x * self.by
def slow(): return nn.Sequential(*(Times(1.1) for _ in range(8))), torch.randn(8, WIDTH)
def slower(): return nn.Sequential(*(Times(0.9) for _ in range(8))), torch.randn(8, WIDTH)

def one_large():
    network, x = mlp(6, nn.ReLU)
    network[6].weight.data *= 200
    return network, x

def jumps():
    network, x = mlp(30, nn.ReLU)
    network[30].weight.data *= 1000
    return network, x
"""


@pytest.mark.parametrize("name", GROWTHS)
def test_growth_is_said_in_a_sentence(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "growing_models.py"
    path.write_text(KNOWN_MODELS)
    status, out, _ = run(capsys, f"{path}:{name}", "--all")
    sys.modules.pop("growing_models", None)
    assert status == 0
    said = " ".join(out.split())
    assert re.search(GROWTHS[name], said), said[:1500]
    assert not any(re.search(other, said) for key, other in GROWTHS.items() if key != name)
    assert (
        "log2 gain backward: the gradient's squared norm that leaves an operation, over what "
        "arrives at it" in said
    )


@pytest.mark.parametrize("name", ["bn", "Net", "Tokens"])
@pytest.mark.parametrize("width", [72, 80, 120])
def test_no_line_is_wider_than_the_terminal(
    name: str,
    width: int,
    models: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    described = "int64[2,8]<50" if name == "Tokens" else "float32[8,64]"
    for more in ([], ["--all"]):
        _, out, _ = run(capsys, f"{models}:{name}", "--input", described, *more)
        assert max(map(len, out.splitlines())) <= width, out
        assert ("log2 gain" in out) == bool(more)
        cut = [line.split()[0] for line in out.splitlines() if "…" in line.split(" ")[0]]
        if more:
            assert bool(cut) == (name == "Net")
        assert all(part[0] == "a" and part[-1].isdigit() for part in cut), (
            "both ends of a name are kept"
        )


def test_blocks_are_listed_first_and_the_operations_inside_one_on_demand(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = (f"{models}:bn", "--input", "float32[8,64]")
    _, out, _ = run(capsys, *argv)
    lines = out.splitlines()
    heads = next(i for i, line in enumerate(lines) if line.startswith("block"))
    names = [line.split("  ")[0] for line in lines[heads + 1 : heads + 22]]
    assert names == ["input", *(f"{3 * k} to {3 * k + 2}" for k in range(20))]
    assert lines[heads].split()[:6] == ["block", "RMS", "RMS", "forward", "backward", "theory"]
    for name in ("3 to 5", "4"):
        _, out, _ = run(capsys, *argv, "--inside", name)
        listed = out.split("\noperation")[1].splitlines()
        rows = [line.split()[:2] for line in listed if line[:1].isdigit()]
        every = [["3", "linear"], ["4", "batch_norm"], ["5", "relu"]]
        assert rows == (every if name == "3 to 5" else every[1:2])
    status, out, err = run(capsys, *argv, "--inside", "3 to 6")
    assert (status, out) == (2, "")
    assert "there is no block or module '3 to 6'; there is 3 to 5" in err


def test_piped_it_is_quiet_and_a_terminal_without_unicode_gets_ascii(models: Path) -> None:
    argv = [
        sys.executable,
        "-m",
        "depthscale",
        "probe",
        f"{models}:bn",
        "--input",
        "float32[64,64]",
    ]
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "COLUMNS": "80"}
    done = subprocess.run(argv, capture_output=True, env=environment, check=True)
    assert done.stderr == b""
    out = done.stdout.decode("ascii")
    assert "\x1b" not in out
    assert "gradient RMS" in out
    assert out.count("?") <= 2, "only the plus-minus sign has no ASCII"
    assert "#" in out.split("gradient RMS")[1].split("\n")[0]


def test_help_loads_no_torch() -> None:
    code = (
        "import sys; from depthscale import cli\n"
        "try: cli.main(['probe', '--help'])\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--fail-on" in done.stdout


def test_what_a_model_prints_stays_out_of_the_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "talks.py").write_text(
        "from torch import nn\nprint('loading')\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n        print('made')\n        "
        "self.fc = nn.Linear(4, 4)\n"
        "    def forward(self, x):\n        print('run')\n        return self.fc(x)\n"
    )
    status, out, err = run(
        capsys, f"{tmp_path}/talks.py:Net", "--input", "float32[3,4]", "--json", "-"
    )
    assert status == 0
    assert json.loads(out)["model"] == "Net"
    assert err.split() == ["loading", "made", "run"]


def test_a_cut_gradient_fails_and_every_line_says_where_the_account_ends(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = run(
        capsys, f"{models}:Cut", "--input", "float32[8,64]", "--fail-on", "gradient-cut"
    )
    said = " ".join(out.split())
    assert status == 1
    assert (
        "No gradient reaches first.0 ... first.10: it stops at detach in front of second.0." in said
    )
    _, out, _ = run(capsys, f"{models}:Cut", "--input", "float32[8,64]", "--all")
    said = " ".join(out.split())
    assert "from the output to second.0 the gradient's squared norm changes" in said
    assert "the account ends at second.0: no gradient reaches input" in said
    assert re.search(r"gradient RMS \S+ \S+ \S+ \(second\.0 to output\)", said)


@pytest.mark.parametrize("name", ["bn", "with_inputs", "Cut"])
def test_the_line_of_bars_begins_and_ends_as_the_table_does(
    name: str, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = () if name == "with_inputs" else ("--input", "float32[8,64]")
    listed = ("--inside", "second") if name == "Cut" else ("--all",)
    _, out, _ = run(capsys, f"{models}:{name}", *given, *listed)
    (bars,) = re.findall(r"gradient RMS (\S+) \S+ (\S+) \(", out)
    table = out.split("backward\n", 2)[1].splitlines()
    rows = [line.split() for line in table if re.search(r"\d+x64 ", line)]
    assert bars == (rows[0][4], rows[-1][4])


def test_parameters_are_told_of_where_they_are_asked_for(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """dE/dW of E = sum(W x) is the sum of x over 4 samples of 3: 12 at every entry."""
    argv = (f"{models}:heads", "--loss", f"{models}:total")
    said = [" ".join(run(capsys, *argv, *more)[1].split()) for more in ([], ["--params"])]
    told = (
        "parameters: 2 of 6 with a gradient (1 frozen), RMS 12.0 (small.weight) to 24.0 "
        "(large.weight); "
        "none reaches cut.weight, idle.weight, idle.bias"
    )
    assert [told in each for each in said] == [False, True], said[1]
    assert "parameters:" not in said[0]
    _, out, _ = run(capsys, f"{models}:Cut", "--input", "float32[8,64]", "--params")
    assert "none reaches first.0.weight, first.0.bias, first.1.weight and 13 more" in " ".join(
        out.split()
    )
    _, out, _ = run(capsys, f"{models}:Less", "--input", "float32[8,64]", "--params")
    assert "parameters:" not in out, "it has none"


def test_no_gain_is_a_zero_with_a_minus(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """0.9999 squared is -0.0003 in log2."""
    _, out, _ = run(capsys, f"{models}:small_steps", "--input", "float32[8,64]", "--all")
    assert out.count("+0.00") >= 6
    assert "-0.00" not in out
