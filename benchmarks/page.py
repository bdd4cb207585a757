"""docs/benchmarks.md, of what was measured; and the sentence of it that README quotes."""

import os
import platform
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from statistics import mean, median

import torch

from benchmarks.candidates import OURS
from benchmarks.peers import PEERS
from benchmarks.results import PLAIN, Results
from benchmarks.rule import RuleOfThumb, fitted
from benchmarks.start import start_table
from benchmarks.workloads import WORKLOADS

README_BEGINS = "A probe costs about "
QUOTED = {"gpt2": "GPT-2 small", "readme": "README's network"}


def figure(x: float | None) -> str:
    """Three digits at most, or a dash."""
    return "-" if x is None else f"{x:.2f}" if x < 10 else f"{x:.0f}"


def whole(x: float | None) -> str:
    return "-" if x is None else f"{x:,.0f}"


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    heads = list(heads)
    lines = [heads, ["---"] * len(heads), *rows]
    return ["| " + " | ".join(row) + " |" for row in lines]


def told(results: Results, workload: str, name: str) -> str:
    """A candidate's ratio with memory kept, or the word for what went wrong."""
    return results.error(workload, name) or figure(results.ratio(workload, name))


def against(x: float | None, aim: float) -> str:
    """An aim, and whether it was reached."""
    return f"{aim:.2f}" + ("" if x is None else ", met" if x <= aim else ", missed")


def probe_rows(results: Results) -> list[list[str]]:
    """A row a workload, and one where parameters are asked for, too."""
    rows = []
    for key, workload in WORKLOADS.items():
        for name, aim in (("probe", workload.aim), ("params", workload.aim_params)):
            if aim is None:
                continue
            rows.append(
                [
                    workload.title + (", `params=True`" if name == "params" else ""),
                    figure(results.ratio(key, "floor")),
                    told(results, key, name),
                    against(results.ratio(key, name), aim),
                    figure(results.ratio(key, name, is_mean=True)),
                    figure(results.ratio(key, "floor", "loop")),
                    figure(results.ratio(key, name, "loop")),
                    figure(results.ratio(key, name, "loop", is_mean=True)),
                ]
            )
    return rows


def memory_rows(results: Results) -> list[list[str]]:
    """Page faults of a step in the loop, and with memory kept; the largest memory; what is seen."""
    rows = []
    for key, workload in WORKLOADS.items():
        steps = [
            results.steps(key, name, memory, "faults")
            for name, memory in ((PLAIN, "loop"), ("probe", "loop"), ("probe", "kept"))
        ]
        peaks = [results.least(key, name, "peak") for name in ("probe", PLAIN)]
        rows.append(
            [
                workload.title,
                *(whole(median(each) if each else None) for each in steps),
                figure(peaks[0] / peaks[1] if peaks[0] and peaks[1] else None),
                *(whole(results.least(key, "probe", what)) for what in ("operations", "values")),
            ]
        )
    return rows


def peer_rows(results: Results) -> list[list[str]]:
    names = ["probe", *PEERS]
    return [
        [workload.title, *(told(results, key, name) for name in names)]
        for key, workload in WORKLOADS.items()
    ]


def founding_rows(results: Results) -> list[list[str]]:
    """Who notices that the README network's gradient grows, through what, in how many steps."""
    rows = []
    plain = results.steps("readme", PLAIN, "kept")
    for name, candidate in (OURS | PEERS).items():
        if name in (PLAIN, "floor", "params"):
            continue
        if candidate.finds is None:
            ratio = results.ratio("readme", name)
            rows.append([candidate.title, "no", "numbers, and no verdict", figure(ratio)])
        for found in results.of("founding", name):
            cost = figure(found["verdict"] / median(plain)) if "verdict" in found and plain else "-"
            noticed = "**yes**" if found.get("noticed") else "no"
            rows.append([candidate.title, noticed, found.get("through") or found["error"], cost])
    return rows


def rule(results: Results) -> RuleOfThumb | None:
    rows = [row for key in WORKLOADS if (row := results.probed(key))]
    return fitted(rows) if len(rows) > 3 else None


def sentence(results: Results) -> str | None:
    """What README says of speed."""
    found = rule(results)
    if found is None:
        return None
    quoted = ", ".join(
        f"{figure(ratio)} for {name}"
        for key, name in QUOTED.items()
        if (ratio := results.ratio(key, "probe", "loop", is_mean=True))
    )
    return (
        f"{README_BEGINS}{found.share:.2f} of a training step's forward and backward pass, "
        f"{found.operation * 1e6:.0f} µs an operation and {found.value * 1e9:.1f} ns a value that "
        f"an operation gives; in such passes: {quoted}."
    )


def put_into_readme(results: Results, path: Path) -> None:
    """Replace README's sentence by the page's."""
    if (new := sentence(results)) is not None:
        text = path.read_text()
        path.write_text(re.sub(re.escape(README_BEGINS) + r".*", new, text, count=1))


def machine() -> str:
    """What it was run on, in words."""
    cores, load = os.cpu_count() or 1, os.getloadavg()[2]
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True
    ).stdout.strip()
    busy = (
        f"Others were at work (load {load:.1f} in the last quarter of an hour): the figures are "
        "rough."
        if load > 1.5
        else "Nothing else was at work."
    )
    return (
        f"Run on {cores} {platform.machine()} cores, {platform.system()}, Python "
        f"{platform.python_version()}, torch {torch.__version__}, at commit {commit}. {busy}"
    )


def seen() -> list[str]:
    rows = [[each.title, each.sees] for each in (OURS | PEERS).values()]
    return table(["", "what it tells"], rows)


def rule_lines(results: Results) -> list[str]:
    found, said = rule(results), sentence(results)
    if found is None or said is None:
        return []
    off = [abs(x) for x in found.residuals]
    return [
        "## The rule of thumb",
        "",
        said,
        "",
        f"Fitted to the means of the loop above, over {len(off)} workloads; it is {mean(off):.0%} "
        f"off on average and {max(off):.0%} at most.",
        "",
    ]


def page(results: Results, others: dict[str, str], starts: int) -> str:
    """The whole page."""
    lines = [
        "# Benchmarks",
        "",
        "Made by `make bench`, with other tools once `make bench-peers` has installed them. "
        f"{machine()}",
        "",
        "Every figure is a ratio to plain training on the same batch: CPU time of one thread for "
        "forward, loss and backward, inside a real SGD loop (zero_grad, forward, loss, backward, "
        "step). A probe takes the place of every second step's passes. The floor is the same "
        "passes with the gradient of the input alone: what must be run to see the gradients of "
        "activations. Each candidate runs in processes of its own, in turn with the others.",
        "",
        "*Fault-free*: glibc keeps all memory that was freed. *In a loop*: memory behaves as a "
        "user has it, where plain training takes page faults for its new gradients. Means count "
        "the garbage collections that medians hide. A dash was not measured.",
        "",
        "## A probe over plain training",
        "",
        *table(
            (
                "workload",
                "floor, fault-free",
                "probe, fault-free",
                "aim",
                "its mean",
                "floor, in a loop",
                "probe, in a loop",
                "its mean",
            ),
            probe_rows(results),
        ),
        "",
        "Medians but for the means. Of the first row .72 was aimed at in a loop.",
        "",
        *table(
            (
                "workload",
                "page faults a step: plain",
                "probe",
                "probe, fault-free",
                "largest memory, probe over plain",
                "operations",
                "values they give",
            ),
            memory_rows(results),
        ),
        "",
        "Largest memory is the process's, libraries included.",
        "",
        *rule_lines(results),
        "## Other tools",
        "",
        "The same fault-free ratio, each tool looking at every step as its documentation shows it; "
        "what it tells differs. A word is the error that stopped it.",
        "",
        *table(
            ["workload", "`ds.probe`", *(each.title for each in PEERS.values())],
            peer_rows(results),
        ),
        "",
        *seen(),
        "",
        "## The founding case: who notices",
        "",
        "README's network: 40 x (Linear, Batch Norm, ReLU) of width 256, whose gradient grows "
        "over 1,500-fold towards the input. What each says of it, and its cost in plain steps, "
        "verdict included.",
        "",
        *table(["", "notices", "through", "cost in steps"], founding_rows(results)),
        "",
        *(["## To begin", "", *start_table(starts), ""] if starts else []),
    ]
    for name, printed in others.items():
        lines += [f"## `python -m benchmarks.{name}`", "", "```text", printed.rstrip(), "```", ""]
    return "\n".join(lines).rstrip() + "\n"
