"""Counting from many threads, over many threads, and after a fork."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from depthscale.sketch import Sketch
from sketch_reference import DTYPES, everything_counted, reference

MANY = (1 << 21) + 77  # enough for four threads, and a rest


@pytest.fixture(autouse=True)
def _as_many_threads_as_before() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def mixture(seed: int, n: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Normal values, the second half far smaller; zeros, infinities and NaNs among them."""
    x = torch.randn(n, generator=torch.Generator().manual_seed(seed)).double()
    x[n // 2 :] *= 1e-60 if dtype is torch.float64 else 1e-6
    x[::101], x[7::1009], x[8::1013] = 0.0, torch.inf, torch.nan
    return x.to(dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_more_threads_give_the_same_counts(dtype: torch.dtype):
    tensor = mixture(0, MANY, dtype)
    torch.set_num_threads(1)
    alone = Sketch.of(tensor)
    torch.set_num_threads(4)
    together = Sketch.of(tensor)
    assert everything_counted(together.tally) == everything_counted(alone.tally)
    assert together.min_magnitude() == alone.min_magnitude()
    assert together.max_magnitude() == alone.max_magnitude()
    assert together.mean_square() == pytest.approx(alone.mean_square(), rel=MANY * 2.0**-52)


def test_many_values_over_many_threads_are_the_counts_of_torch():
    torch.set_num_threads(4)
    tensor = mixture(1, MANY)
    patterns = (tensor.view(torch.int32) >> 16) & 0xFFFF
    expected = torch.bincount(patterns, minlength=1 << 16)
    expected[[0x0000, 0x8000]] = 0
    expected[0x7F80:0x8000] = 0
    expected[0xFF80:] = 0
    tally = Sketch.of(tensor).tally
    assert tally.patterns.tolist() == expected.nonzero().flatten().tolist()
    assert tally.counts.tolist() == expected[expected > 0].tolist()
    assert (tally.zeros, tally.infinities[1], tally.nans) == (
        int((tensor == 0).sum()),
        int((tensor == torch.inf).sum()),
        int(tensor.isnan().sum()),
    )


def test_many_python_threads_count_at_once():
    tensors = [mixture(seed, 300 + seed, DTYPES[seed % 4]) for seed in range(40)] * 5
    expected = [reference(tensor).bins for tensor in tensors[:40]] * 5
    with ThreadPoolExecutor(8) as threads:
        sketches = list(threads.map(Sketch.of, tensors))
    for sketch, bins in zip(sketches, expected, strict=True):
        assert everything_counted(sketch.tally)["bins"] == dict(bins)


def test_python_threads_that_each_count_over_many_threads_do_not_block_one_another():
    torch.set_num_threads(4)
    tensors = [mixture(seed, MANY) for seed in range(2)] * 4
    expected = [everything_counted(Sketch.of(tensor).tally) for tensor in tensors[:2]] * 4
    with ThreadPoolExecutor(8) as threads:
        assert [everything_counted(s.tally) for s in threads.map(Sketch.of, tensors)] == expected


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_counts_over_threads_of_its_own():
    torch.set_num_threads(4)
    tensor = mixture(2, MANY)
    expected = everything_counted(Sketch.of(tensor).tally)  # the parent's threads are at work now
    child = os.fork()
    if not child:
        signal.alarm(30)  # a child that waits for its parent's threads ends by this signal
        os._exit(0 if everything_counted(Sketch.of(tensor).tally) == expected else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert everything_counted(Sketch.of(tensor).tally) == expected
