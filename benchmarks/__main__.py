"""python -m benchmarks: probe against plain training and against other tools, and all else that
has an aim. `--write FILE` makes the page; `--quick` is a share that takes under two minutes."""

import argparse
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.candidates import OURS
from benchmarks.page import page, put_into_readme
from benchmarks.peers import PEERS
from benchmarks.results import Results
from benchmarks.workloads import WORKLOADS

ROOT = Path(__file__).parents[1]
KEPT = ROOT / ".benchmarks.jsonl"  # what is measured; an interrupted run goes on from there
PEERS_PYTHON = ROOT / ".venv-peers" / "bin" / "python"
ALL = OURS | PEERS
STOPPED: dict[int, str] = {signal.SIGKILL: "too large"}
LIMIT = 240  # seconds of a process
OTHERS = ("sketch", "ensemble", "report", "after")  # benchmarks with a main() of their own


def processes(is_quick: bool, rounds: int) -> list[tuple[int, str, str]]:
    """(round, workload, candidate) of every process: candidates in turn, other tools once."""
    found = [
        (turn, key, name)
        for turn in range(rounds)
        for key, workload in WORKLOADS.items()
        for name in ALL
        if workload.is_quick or not is_quick
        if name != "params" or workload.aim_params is not None
        if name in OURS or (not turn and not is_quick)
    ]
    noticing = [name for name in ALL if ALL[name].finds and (name in OURS or not is_quick)]
    return found + [(0, "founding", name) for name in noticing]


def in_its_own(workload: str, name: str, seconds: float) -> dict[str, Any]:
    """What a process of its own measures, or the word for what went wrong."""
    python = str(PEERS_PYTHON) if ALL[name].is_installed else sys.executable
    if not Path(python).exists():
        return {"error": "not installed"}
    command = [python, "-m", "benchmarks.measure", workload, name, str(seconds)]
    own = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    environment = os.environ | own
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=LIMIT
        )
    except subprocess.TimeoutExpired:
        return {"error": "too slow"}
    if done.returncode < 0:
        return {"error": STOPPED.get(-done.returncode, f"killed by signal {-done.returncode}")}
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "failed"
        return {"error": last.partition(":")[0].rpartition(".")[2], "message": last}
    return json.loads(done.stdout.splitlines()[-1])


def measure_all(args: argparse.Namespace) -> Results:
    """All processes that are still to be run, one after the other; each is written down at once."""
    if not args.resume:
        KEPT.unlink(missing_ok=True)
    results = Results.read(KEPT)
    todo = [each for each in processes(args.quick, args.rounds) if not results.has(*each)]
    for i, (turn, workload, name) in enumerate(todo):
        if args.only and workload not in args.only.split(","):
            continue
        found = in_its_own(workload, name, min(args.seconds, 1.0) if args.quick else args.seconds)
        results.add(turn, workload, name, found)
        with KEPT.open("a") as file:
            file.write(json.dumps([turn, workload, name, found]) + "\n")
        print(
            f"{i + 1}/{len(todo)} {workload} {name} {found.get('error', '')}",
            file=sys.stderr,
            flush=True,
        )
    return results


def printed(name: str) -> str:
    """What a benchmark with a main() of its own prints, complaints included."""
    command = [sys.executable, "-m", f"benchmarks.{name}"]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT
    )
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three workloads, no other tools")
    parser.add_argument("--resume", action="store_true", help="keep what an earlier run measured")
    parser.add_argument("--rounds", type=int, default=2, help="processes of each candidate")
    parser.add_argument("--seconds", type=float, default=1.5, help="at least of each candidate")
    parser.add_argument("--only", help="workloads, by comma: " + ", ".join(WORKLOADS))
    parser.add_argument("--write", type=Path, help="write a whole run's page, and README's figures")
    args = parser.parse_args()
    results = measure_all(args)
    is_whole = not (args.quick or args.only)
    files = [name for name in OTHERS if (ROOT / "benchmarks" / f"{name}.py").exists()]
    others = {name: printed(name) for name in files} if is_whole else {}
    text = page(results, others, starts=3 if is_whole else 0)
    if args.write and is_whole:
        args.write.write_text(text)
        put_into_readme(results, ROOT / "README.md")
    else:
        print(text)


if __name__ == "__main__":
    main()
