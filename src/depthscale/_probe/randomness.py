"""Random states of torch, Python and numpy: taken, put back, and begun anew while a model is
made."""

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

_OF_NUMPY = 2**32  # from where on numpy takes no seed


def random_states(devices: Iterable[torch.device]) -> tuple[Any, ...]:
    on_devices = [
        (i, torch.cuda.get_rng_state(i))
        for i in sorted(each.index for each in devices if each.type == "cuda")
    ]
    of_numpy = np.random.get_state()  # noqa: NPY002
    return torch.get_rng_state(), on_devices, random.getstate(), of_numpy


def set_random_states(states: tuple[Any, ...]) -> None:
    on_cpu, on_devices, of_python, of_numpy = states
    torch.set_rng_state(on_cpu)
    for i, state in on_devices:
        torch.cuda.set_rng_state(state, i)
    random.setstate(of_python)
    np.random.set_state(of_numpy)  # noqa: NPY002


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """What is drawn while the context lasts follows from the seed, and afterwards all goes on as if
    nothing had been drawn."""
    before = random_states(torch.device("cuda", i) for i in range(torch.cuda.device_count()))
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % _OF_NUMPY)  # noqa: NPY002
    try:
        yield
    finally:
        set_random_states(before)
