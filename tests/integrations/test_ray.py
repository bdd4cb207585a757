"""Ray really started, which `make test-integrations` does in an environment that has it."""

import os
from collections.abc import Iterator

import pytest
import ray
import torch
from torch import nn

import depthscale as ds


def bn(depth: int) -> nn.Sequential:
    layers = [(nn.Linear(32, 32), nn.BatchNorm1d(32), nn.ReLU()) for _ in range(depth)]
    return nn.Sequential(*(part for layer in layers for part in layer))


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def test_a_probe_in_a_worker_of_ray_gives_the_bits_of_one_here() -> None:
    def rate(depth: int) -> tuple[float, int]:
        torch.set_num_threads(1)  # as Ray does; with more, sums are taken in another order
        run = ds.probe(lambda: bn(depth), torch.ones(16, 32) + torch.eye(16, 32), seed=3)
        return ds.growth(run).rate, os.getpid()

    there, worker = ray.get(ray.remote(rate).remote(8))
    here, driver = rate(8)
    assert worker != driver
    assert there == here
