"""Probes in company: two at once, a training beside, two hundred in a row."""

import gc
import random
import resource
import tempfile
import threading
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import depthscale as ds
from probe.checks import state
from torture.networks import network

_PROBES = 200
_MEMORY = 30_000  # kilobytes that two hundred probes may add once all is warm


def _record(model: nn.Module, inputs: Any, **settings: Any) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.json"
        ds.save(ds.probe(model, inputs, **settings), path)
        return path.read_bytes()


def _runs(seed: int) -> bool:
    """Whether the network of a seed can be probed and saved; some raise by themselves."""
    made = network(seed)
    try:
        _record(made.model, made.inputs, **made.settings)
    except Exception:
        return False
    return True


def two_at_once(seed: int) -> list[str]:
    """Two threads, each with a network of its own: the records are those of one after the other."""
    seeds = [each for each in range(2 * seed, 2 * seed + 8) if _runs(each)][:2]
    torch.manual_seed(seed)
    alone = [_record(m.model, m.inputs, **m.settings) for m in map(network, seeds)]
    made, results = [network(each) for each in seeds], dict[int, Any]()
    before = [state(each.model) for each in made]

    def work(i: int) -> None:
        try:
            results[i] = _record(made[i].model, made[i].inputs, **made[i].settings)
        except Exception as wrong:
            results[i] = wrong

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(made))]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    found = [f"another record of {s}" for i, s in enumerate(seeds) if results[i] != alone[i]]
    if [state(each.model) for each in made] != before:
        found.append("a model is changed")
    return found


class _Trained(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(part for _ in range(4) for part in (nn.Linear(8, 8), nn.LayerNorm(8), nn.Tanh()))
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def _train(model: nn.Module, x: Tensor, steps: int) -> None:
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step()


def training_beside(seed: int) -> list[str]:
    """A thread trains one model while another is probed: both end as they would alone."""
    models = []
    for _ in "ab":
        torch.manual_seed(seed)
        models.append(_Trained())
    x = torch.randn(4, 8)
    _train(models[0], x, 40)
    made = next(network(each) for each in range(seed, seed + 50) if _runs(each))
    before = state(made.model)[3:]  # random states are the process's
    thread = threading.Thread(target=_train, args=(models[1], x, 40))
    thread.start()
    while True:
        ds.probe(made.model, made.inputs, **made.settings)
        if not thread.is_alive():
            break
    thread.join()
    pairs = zip(models[0].parameters(), models[1].parameters(), strict=True)
    found = [] if all(torch.equal(a, b) for a, b in pairs) else ["the training is another"]
    if state(made.model)[3:] != before:
        found.append("the probed model is changed")
    return found


def _alive() -> int:
    gc.collect()
    return sum(issubclass(type(each), Tensor) for each in gc.get_objects())


def leaks(seed: int) -> list[str]:
    """Two hundred probes leave no tensor, hook, thread or memory."""
    drawn = random.Random(seed)
    seeds = [each for each in range(seed * 20, seed * 20 + 20) if _runs(each)][:5]
    made = [network(each) for each in seeds]

    def probes(count: int) -> None:
        for _ in range(count):
            each = drawn.choice(made)
            ds.diagnose(ds.probe(each.model, each.inputs, **each.settings))

    probes(_PROBES // 4)
    tensors, threads, memory = _alive(), threading.active_count(), _peak()
    before = [state(each.model) for each in made]
    probes(_PROBES)
    found = []
    if (more := _alive() - tensors) > 0:
        found.append(f"{more} tensors stay alive")
    if threading.active_count() > threads:
        found.append("threads stay alive")
    if _peak() - memory > _MEMORY:
        found.append(f"memory grew by {_peak() - memory} kB")
    if [state(each.model) for each in made] != before:
        found.append("a model is changed")
    return found


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
