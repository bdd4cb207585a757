"""Sketches as bytes: all of a sketch comes back, and bytes that are not one are refused."""

import copy
import pickle
import struct
import zlib
from contextlib import suppress

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from depthscale.errors import InvalidRecord
from depthscale.sketch import Sketch
from sketch_reference import everything, of_bits
from sketch_values import TURNS, any_tensors, examples, scales

SMALL = Sketch.of(of_bits(torch.float32, TURNS[torch.float32]), 5)
START = struct.calcsize("<3sBI")  # magic, version, checksum


def test_an_empty_sketch_comes_back():
    assert everything(Sketch.from_bytes(Sketch().to_bytes()).tally) == everything(Sketch().tally)


@examples(150)
@given(any_tensors(), scales())
def test_every_field_comes_back_equal(tensor: Tensor, log2_scale: int):
    sketch = Sketch.of(tensor, log2_scale)
    back = Sketch.from_bytes(sketch.to_bytes())
    assert everything(back.tally) == everything(sketch.tally)
    assert (back.tally.patterns.dtype, back.tally.counts.dtype) == (
        sketch.tally.patterns.dtype,
        sketch.tally.counts.dtype,
    )
    assert everything((back + back).tally) == everything((sketch + sketch).tally)


@pytest.mark.parametrize("copies", [1, 127, 128, 32767, 32768, 2**31 - 1, 2**31, 2**40])
def test_counts_of_any_size_come_back(copies: int):
    sketch = Sketch.of(torch.tensor([[1.0], [-2.0], [0.0]]).expand(3, copies))
    assert everything(Sketch.from_bytes(sketch.to_bytes()).tally) == everything(sketch.tally)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_sketch_is_pickled(protocol: int):
    assert everything(pickle.loads(pickle.dumps(SMALL, protocol)).tally) == everything(SMALL.tally)


def test_a_sketch_is_copied():
    assert (
        everything(copy.deepcopy(SMALL).tally)
        == everything(copy.copy(SMALL).tally)
        == everything(SMALL.tally)
    )


def test_bytes_are_the_same_for_the_same_values_in_any_order():
    values = torch.arange(-500.0, 500.0)
    assert Sketch.of(values).to_bytes() == Sketch.of(values.flip(0)).to_bytes()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_a_million_normal_values_take_less_than_20_kilobytes(dtype: torch.dtype):
    values = torch.randn(1_000_000, generator=torch.Generator().manual_seed(0)).to(dtype)
    assert len(Sketch.of(values).to_bytes()) < 20_000


def test_every_truncation_is_refused():
    encoded = SMALL.to_bytes()
    for length in range(len(encoded)):
        with pytest.raises(InvalidRecord):
            Sketch.from_bytes(encoded[:length])


def test_every_flipped_bit_is_refused():
    encoded = SMALL.to_bytes()
    for place in range(8 * len(encoded)):
        with pytest.raises(InvalidRecord):
            Sketch.from_bytes(flipped(encoded, place))


def flipped(encoded: bytes, place: int) -> bytes:
    at, bit = divmod(place, 8)
    return encoded[:at] + bytes([encoded[at] ^ 1 << bit]) + encoded[at + 1 :]


def test_bytes_appended_are_refused():
    with pytest.raises(InvalidRecord, match="damaged"):
        Sketch.from_bytes(SMALL.to_bytes() + b"\x00")


def test_a_newer_version_is_refused_with_the_way_out():
    encoded = SMALL.to_bytes()
    with pytest.raises(
        InvalidRecord, match=r"version 2, newer than 1; read it with a newer depthscale"
    ):
        Sketch.from_bytes(encoded[:3] + b"\x02" + encoded[4:])


@pytest.mark.parametrize(
    "foreign",
    [b"", b"d", b"dsk", b"PK\x03\x04", bytes(200), zlib.compress(bytes(100)), pickle.dumps(1)],
    ids=str,
)
def test_foreign_bytes_are_refused(foreign: bytes):
    with pytest.raises(InvalidRecord):
        Sketch.from_bytes(foreign)


@examples(500)
@given(st.binary(max_size=300))
def test_any_bytes_after_the_name_are_refused(rest: bytes):
    with pytest.raises(InvalidRecord):
        Sketch.from_bytes(b"dsk\x01" + rest)


@examples(500)
@given(st.data())
def test_damage_under_a_checksum_that_fits_raises_nothing_else(data: st.DataObject):
    record = bytearray(SMALL.to_bytes()[START:])
    for at in data.draw(st.lists(st.integers(0, len(record) - 1), min_size=1, max_size=9)):
        record[at] = data.draw(st.integers(0, 255))
    record = (
        record[: data.draw(st.integers(0, len(record)))] if data.draw(st.booleans()) else record
    )
    with suppress(InvalidRecord):
        Sketch.from_bytes(struct.pack("<3sBI", b"dsk", 1, zlib.crc32(record)) + record)
