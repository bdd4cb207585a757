"""A tensor's strides, views and flags change nothing about its sketch, nor the sketch about the
tensor."""

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from depthscale.sketch import Sketch
from depthscale.sketch.counting import cpu, device
from sketch_reference import DTYPES, WIDTH, everything_counted, to_bits

VIEWS: dict[str, Callable[[Tensor], Tensor]] = {
    "every other": lambda x: x[::2],
    "every other column": lambda x: x.view(20, 60)[:, ::2],
    "transposed": lambda x: x.view(20, 60).t(),
    "permuted": lambda x: x.view(4, 5, 60).permute(2, 0, 1),
    "permuted slice": lambda x: x.view(4, 5, 60).permute(2, 0, 1)[1::3, :, 1:],
    "channels last": lambda x: x.view(2, 3, 10, 20).to(memory_format=torch.channels_last),
    "expanded": lambda x: x[:7, None].expand(7, 9),
    "expanded twice": lambda x: x.view(20, 60)[None, 1::4, None].expand(3, 5, 4, 60),
    "expanded from one": lambda x: x[5].expand(4, 3),
    "sliced at odd offset": lambda x: x[1:],
    "sliced at odd offset and length": lambda x: x[3:602],
    "one of many": lambda x: x[7::1000][:1],
    "0-dim": lambda x: x[11],
    "empty": lambda x: x[:0],
    "empty of many dims": lambda x: x.view(20, 60)[:, :0],
    "expanded to nothing": lambda x: x[:0, None].expand(0, 5),
    "overlapping": lambda x: x.as_strided((50, 30), (3, 2)),
    "unfolded": lambda x: x.unfold(0, 10, 3),
    "size one dims": lambda x: x.view(1, 20, 1, 60)[:, ::3],
    "flipped": lambda x: x.flip(0),
}


def values(dtype: torch.dtype) -> Tensor:
    """1200 values over many decades with zeros, tiny ones, infinities and NaNs among them."""
    x = (
        torch.randn(1200, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
        .mul(9)
        .exp()
    )
    x[::2] *= -1
    x[::17], x[1::37], x[3::29], x[4::31] = 0.0, 1e-42, torch.inf, torch.nan
    return x.to(dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_a_view_is_counted_as_its_contiguous_copy(
    view: Callable[[Tensor], Tensor], dtype: torch.dtype
):
    base = values(dtype)
    seen = view(base)
    before, version = to_bits(base), base._version
    sketch, expected = Sketch.of(seen), Sketch.of(seen.clone(memory_format=torch.contiguous_format))
    assert sketch.count == seen.numel()
    assert everything_counted(sketch.tally) == everything_counted(expected.tally)
    for read in (Sketch.min_magnitude, Sketch.max_magnitude, Sketch.mean_square):
        assert read(sketch) == pytest.approx(read(expected), rel=1e-12, abs=0, nan_ok=True)
    assert sketch.mean() == pytest.approx(expected.mean(), abs=1e-12 * expected.rms(), nan_ok=True)
    assert (to_bits(base), base._version) == (before, version)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_the_device_path_counts_a_view_as_the_cpu_does(
    view: Callable[[Tensor], Tensor], dtype: torch.dtype
):
    seen = view(values(dtype))
    assert everything_counted(device.read(device.count(seen))) == everything_counted(
        cpu.tally(seen)
    )


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128], ids=str)
def test_a_negative_bit_is_resolved(dtype: torch.dtype):
    x = torch.randn(40, dtype=dtype, generator=torch.Generator().manual_seed(2)).conj()
    imaginary = x.imag
    assert imaginary.is_neg()
    expected = everything_counted(Sketch.of(x.resolve_conj().imag.clone()).tally)
    assert everything_counted(Sketch.of(imaginary).tally) == expected
    assert everything_counted(device.read(device.count(imaginary))) == expected
    assert imaginary.is_neg()
    assert (
        everything_counted(Sketch.of(torch.view_as_real(x.resolve_conj())[:, 1]).tally) == expected
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda x: x.requires_grad_(),
        lambda x: x.requires_grad_() * 1,
        torch.nn.Parameter,
        lambda x: torch.nn.Parameter(x)[::3],
    ],
    ids=["requires grad", "non-leaf", "parameter", "slice of a parameter"],
)
def test_what_autograd_follows_is_counted_and_left_as_it_is(make: Callable[[Tensor], Tensor]):
    tensor = make(torch.randn(30))
    state = (
        tensor.requires_grad,
        tensor.is_leaf,
        tensor.grad_fn,
        tensor._version,
        tensor.data_ptr(),
    )
    assert Sketch.of(tensor).count == tensor.numel()
    assert (
        tensor.requires_grad,
        tensor.is_leaf,
        tensor.grad_fn,
        tensor._version,
        tensor.data_ptr(),
    ) == state
    tensor.sum().backward()


def test_a_tensor_made_in_inference_mode_is_counted():
    with torch.inference_mode():
        tensor = torch.ones(9)
        assert Sketch.of(tensor).mean() == 1
    assert Sketch.of(tensor).mean() == 1


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_memory_that_is_not_aligned_is_counted(dtype: torch.dtype):
    expected = values(dtype)
    memory = bytearray(b"\x00" + expected.view(torch.uint8).numpy().tobytes())
    tensor = torch.frombuffer(memory, dtype=dtype, offset=1)
    assert tensor.data_ptr() % (WIDTH[dtype] // 8)
    assert everything_counted(Sketch.of(tensor).tally) == everything_counted(
        Sketch.of(expected).tally
    )


@pytest.mark.parametrize(
    "name", ["transposed", "permuted", "channels last", "sliced at odd offset", "0-dim"]
)
def test_dense_memory_is_not_copied(name: str):
    tensor = VIEWS[name](values(torch.float32))
    assert cpu._parts(cpu._distinct(tensor)[0])[0].data_ptr() == tensor.data_ptr()


def test_an_expanded_tensor_is_counted_without_being_written_out():
    tensor = torch.tensor([1.0, -2.0, 0.0, torch.nan])[:, None].expand(4, 2**40)
    sketch = Sketch.of(tensor)
    assert (sketch.count, sketch.zeros, sketch.nans, sketch.mean()) == (2**42, 2**40, 2**40, -1 / 3)


PEAK = """
import resource, torch
from depthscale.sketch import Sketch

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

def wide(n):
    return torch.linspace(-300, 300, n, dtype=torch.float64).mul_(2.302585).exp_()

kinds = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
small = [torch.ones(8, dtype=kind) for kind in kinds] + [wide(8)]
large = [torch.ones(2**25 // kind.itemsize, dtype=kind) for kind in kinds] + [wide(2**22)]
for tensor in small:
    Sketch.of(tensor)
Sketch.of(torch.ones(2**20))  # threads and their tables
for tensor in large:
    before = peak()
    assert Sketch.of(tensor).count == tensor.numel()
    print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is counted in other units elsewhere")
def test_counting_32_mebibytes_takes_less_than_8_more():
    grown = subprocess.run(
        [sys.executable, "-c", PEAK], capture_output=True, text=True, check=True
    ).stdout.split()
    assert len(grown) == 5
    assert max(map(float, grown)) < 8
