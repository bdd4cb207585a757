"""What it takes to begin: CPU seconds of a command or a first probe in a new process, and the
memory that the library takes beside torch."""

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from statistics import median

_PLAIN = """
import torch
torch.set_num_threads(1)
net = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.BatchNorm1d(8), torch.nn.ReLU())
x = torch.randn(4, 8)
net(x).square().mean().backward()
"""
_PROBE = _PLAIN + "import depthscale\ndepthscale.probe(net, x)\n"
_COMMAND = [sys.executable, "-m", "depthscale"]


@dataclass(frozen=True)
class Beginning:
    """A way to begin.

    Attributes:
        title: in words.
        command: what is run.
        aim: CPU seconds.
        is_cached: whether compiled code of an earlier process may be used.
    """

    title: str
    command: list[str]
    aim: float | None
    is_cached: bool = True


PLAIN = Beginning("import torch, one small step", [sys.executable, "-c", _PLAIN], None)
_PROBED = [sys.executable, "-c", _PROBE]
BEGINNINGS = (
    Beginning("`depthscale --help`", [*_COMMAND, "--help"], 0.2),
    Beginning("`depthscale predict` of a description", [*_COMMAND, "predict", "--depth", "5"], 1.0),
    PLAIN,
    Beginning("the same and a first probe", _PROBED, None),
    Beginning("the same and a first probe, nothing cached", _PROBED, 1.5, is_cached=False),
)
MEMORY_AIM = 150  # MB beside torch, with numba


def begun(beginning: Beginning) -> tuple[float, float]:
    """CPU seconds of a new process, and its largest memory in MB."""
    with tempfile.TemporaryDirectory() as empty:
        own = {} if beginning.is_cached else {"NUMBA_CACHE_DIR": empty}
        child = subprocess.Popen(beginning.command, stdout=subprocess.DEVNULL, env=os.environ | own)
        _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, beginning.command)
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1000


def start_table(times: int) -> list[str]:
    """The table of all beginnings, with medians of so many processes each."""
    lines = ["| begin with | CPU seconds | aim | memory, MB over torch's |", "|---|---|---|---|"]
    found = {each.title: [begun(each) for _ in range(times)] for each in BEGINNINGS}
    of_torch = median(memory for _, memory in found[PLAIN.title])
    for each in BEGINNINGS:
        seconds, memory = (median(column) for column in zip(*found[each.title], strict=True))
        own_share = seconds - median(s for s, _ in found[PLAIN.title])
        aim = "-" if each.aim is None else f"{each.aim:g}"
        over = f"{memory - of_torch:.0f}" if "probe" in each.title else "-"
        more = f" ({own_share:.2f} over torch's)" if "probe" in each.title else ""
        lines.append(f"| {each.title} | {seconds:.2f}{more} | {aim} | {over} |")
    return [
        *lines,
        "",
        f"At most {MEMORY_AIM} MB was aimed at; a first probe's aim is what it takes over torch.",
    ]
