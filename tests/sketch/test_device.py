"""The device path: the counts of the CPU loop, by operations that never wait for the device."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from depthscale.sketch import Sketch
from depthscale.sketch.counting import cpu, device
from sketch_reference import DTYPES, assert_counts, everything_counted, of_bits, reference
from sketch_values import TURNS, examples, tensors

WAITING = (
    "local_scalar_dense",
    "nonzero",
    "item",
    "unique",
    "bincount",
    "masked_select",
    "equal",
    "is_nonzero",
    "histc",
)


class NeverWait(TorchDispatchMode):
    """Fails on every operation whose result or shape the host must see, and on copies to another
    device."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = str(func).removeprefix("aten.").split(".")[0]
        masks = (
            [i for i in args[1] if i is not None and i.dtype is torch.bool]
            if name in ("index", "index_put")
            else []
        )
        assert not masks, f"{func} waits for the device: it counts a mask"
        assert not name.lstrip("_").startswith(WAITING), f"{func} waits for the device"
        result = func(*args, **(kwargs or {}))
        if name in ("_to_copy", "copy_"):
            assert result.device == args[-1].device, f"{func} leaves the device"
        return result


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@examples(100)
@given(data=st.data())
def test_the_device_path_counts_every_value_in_its_bin(dtype: torch.dtype, data: st.DataObject):
    tensor = data.draw(tensors(dtype))
    tally = device.read(device.count(tensor))
    assert_counts(Sketch(tally), reference(tensor))
    assert_same_sums(tally, cpu.tally(tensor))


def assert_same_sums(a, b) -> None:
    assert (a.smallest, a.largest) == (b.smallest, b.largest)
    assert a.square_total == pytest.approx(b.square_total, rel=1e-13, abs=0)
    assert abs(a.total - b.total) <= 1e-13 * (a.finite * a.square_total) ** 0.5


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_the_device_path_counts_all_65536_patterns(dtype: torch.dtype):
    tensor = of_bits(dtype, list(range(1 << 16)))
    assert_counts(Sketch(device.read(device.count(tensor))), reference(tensor))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_chunks_add_up(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(device, "_CHUNK", 7)
    tensor = of_bits(dtype, TURNS[dtype] * 3)
    assert everything_counted(device.read(device.count(tensor))) == everything_counted(
        cpu.tally(tensor)
    )


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_an_empty_tensor_is_counted_on_a_device_too(dtype: torch.dtype):
    assert device.read(device.count(torch.zeros(0, dtype=dtype))).count == 0


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_nothing_waits_between_the_call_and_the_reading(dtype: torch.dtype):
    for tensor in (
        of_bits(dtype, TURNS[dtype]),
        torch.ones(3, 4, dtype=dtype).t()[::2],
        torch.zeros(0, dtype=dtype),
    ):
        with NeverWait():
            pending = device.count(tensor)
        assert device.read(pending).count == tensor.numel()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_counting_needs_no_value_on_the_host(dtype: torch.dtype):
    pending = device.count(
        torch.empty(100, dtype=dtype, device="meta")
    )  # a tensor without values: to look at one is an error
    assert all(result.is_meta for result in pending)


@pytest.mark.parametrize(
    "look",
    [
        lambda x: x.max().item(),
        lambda x: bool(x.any()),
        lambda x: x[x > 0],
        lambda x: x.nonzero(),
        lambda x: x.unique(),
        lambda x: x.to("meta"),
        lambda x: torch.empty(4, device="meta").copy_(x),
    ],
)
def test_the_watch_on_waiting_sees_every_kind_of_wait(look):
    with (
        pytest.raises(AssertionError, match=r"waits for the device|leaves the device"),
        NeverWait(),
    ):
        look(torch.ones(4))


def test_a_pending_sketch_is_read_at_the_first_number_and_once():
    pending, readings = device.count(torch.tensor([1.0, 2.0, 0.0])), []

    def read():
        readings.append(1)
        return device.read(pending)

    sketch = Sketch(read)
    assert not readings
    assert (sketch.count, sketch.zeros, sketch.mean()) == (3, 1, 1.0)
    assert len(readings) == 1


def test_a_pending_sketch_adds_up_and_is_written(tmp_path):
    tensor = torch.tensor([1.0, 2.0, 0.0])
    pending = device.count(tensor)
    sketch = Sketch(lambda: device.read(pending)) + Sketch.of(tensor)
    assert everything_counted(Sketch.from_bytes(sketch.to_bytes()).tally) == everything_counted(
        sketch.tally
    )
