"""Factories and measures that the tests sweep over."""

import os
import signal
from pathlib import Path

from torch import nn

import depthscale as ds

WIDTH = 16


def bn(depth: int, std: float = 0.2) -> nn.Sequential:
    """Depth times Linear, Batch Norm and ReLU."""
    layers = []
    for _ in range(depth):
        linear = nn.Linear(WIDTH, WIDTH)
        nn.init.normal_(linear.weight, std=std)
        layers += [linear, nn.BatchNorm1d(WIDTH), nn.ReLU()]
    return nn.Sequential(*layers)


def described(depth: int, norm: str = "batch") -> ds.NetSpec:
    return ds.NetSpec(depth=depth, width=WIDTH, batch=8, norm=norm)  # pyright: ignore


def number(n: int) -> int:
    return n


def fails_at_3(n: int) -> int:
    if n == 3:
        raise ValueError("three\nis too many")
    return n


def dies_at_3(n: int) -> int:
    if n == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return n


def dies_once(n: int, place: str) -> int:
    """At 3, the first time."""
    if n == 3 and not Path(place).exists():
        Path(place).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return n


def square(made: int) -> dict[str, float]:
    return {"square": made**2}
