"""One candidate on one workload, in a process of its own: `python -m benchmarks.measure WORKLOAD
CANDIDATE SECONDS`, and `... founding CANDIDATE 0` for what it says of the founding case.

The steps stand in a real SGD loop: zero_grad, forward, loss, backward, step. Timed are forward,
loss and backward, as CPU time on one thread; garbage is collected when Python likes. What leaves no
gradients, as the probe, takes the place of every second step's passes. First memory behaves as it
does (what is freed may go back to the system, and comes back by page faults), then glibc keeps it;
of other tools only the second is asked for.
"""

import ctypes
import json
import os
import resource
import sys
from time import process_time
from typing import Any

import torch

from benchmarks.candidates import OURS, Candidate, Case
from benchmarks.peers import PEERS
from benchmarks.workloads import WORKLOADS

CANDIDATES = OURS | PEERS
MOST = 60  # timed steps
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of mallopt(3)


def keeps_memory() -> bool:
    """Have glibc take all from the heap and give nothing back; False where malloc is another."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_MMAP_MAX, 0) and mallopt(_TRIM_THRESHOLD, -1))


def faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def looped(candidate: Candidate, case: Case, seconds: float) -> dict[str, Any]:
    """Seconds and page faults of the steps of an SGD loop, as it is and with memory kept."""
    step = candidate.start(case)
    optimizer = torch.optim.SGD(case.model.parameters(), lr=1e-6)

    def turn() -> tuple[float, int]:
        if not candidate.trains:
            optimizer.zero_grad()
            case.train()
            optimizer.step()
        optimizer.zero_grad()
        before, start = faults(), process_time()
        step()
        taken = process_time() - start, faults() - before
        if candidate.trains:
            optimizer.step()
        return taken

    def turns() -> dict[str, list[float]]:
        turn()  # memory settles, and what is compiled is
        begin, taken = process_time(), [turn(), turn()]
        while process_time() - begin < seconds and len(taken) < MOST:
            taken.append(turn())
        times, counts = zip(*taken, strict=True)
        return {"seconds": list(times), "faults": list(counts)}

    found: dict[str, Any] = {}
    if not candidate.is_peer:
        found["loop"] = turns()
        found["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if keeps_memory():
        found["kept"] = turns()
    return found


def counted(case: Case) -> dict[str, int]:
    """How many operations the probe sees, and how many values they give."""
    import depthscale as ds

    run = ds.probe(case.model, case.inputs)
    return {"operations": len(run), "values": sum(op.size for op in run)}


def founding(candidate: Candidate) -> dict[str, Any]:
    """What is said of the founding case, and what the second run of it takes."""
    assert candidate.finds is not None
    candidate.finds(Case(WORKLOADS["readme"]))
    case = Case(WORKLOADS["readme"])
    start = process_time()
    noticed, through = candidate.finds(case)
    return {"noticed": noticed, "through": through, "verdict": process_time() - start}


def measured(workload: str, name: str, seconds: float) -> dict[str, Any]:
    torch.set_num_threads(1)
    half = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    # no limit of CPU time: beside one, Linux tells a process's CPU time from tick to tick alone
    resource.setrlimit(resource.RLIMIT_DATA, (half, half))
    candidate = CANDIDATES[name]
    if workload == "founding":
        return founding(candidate)
    case = Case(WORKLOADS[workload])
    found = looped(candidate, case, seconds)
    return found | (counted(case) if name == "probe" else {})


if __name__ == "__main__":
    print("\n" + json.dumps(measured(sys.argv[1], sys.argv[2], float(sys.argv[3]))))
