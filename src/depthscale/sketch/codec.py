"""Tally <-> bytes: a version and a checksum, then the numbers, then the occupied bins as
differences, compressed."""

import struct
import zlib

import numpy as np

from depthscale.errors import InvalidRecord
from depthscale.sketch.tally import Tally

_MAGIC = b"dsk"
_VERSION = 1
_START = struct.Struct("<3sBI")  # magic, version, checksum
_NUMBERS = struct.Struct(
    "<qqqqqqqddddqB"
)  # counts, log2_scale, sums and extremes, number of bins, bytes per count


def encode(tally: Tally) -> bytes:
    """Bytes of a tally: about a third of its memory."""
    width = next(
        w
        for w in (1, 2, 4, 8)
        if not len(tally.counts) or int(tally.counts.max()) < 1 << (8 * w - 1)
    )
    numbers = _NUMBERS.pack(
        tally.zeros,
        *tally.tiny,
        *tally.infinities,
        tally.nans,
        tally.log2_scale,
        tally.total,
        tally.square_total,
        tally.smallest,
        tally.largest,
        len(tally.patterns),
        width,
    )
    steps = np.diff(tally.patterns, prepend=np.uint16(0)).astype("<u2")
    record = numbers + zlib.compress(
        steps.tobytes() + tally.counts.astype(f"<i{width}").tobytes(), 6
    )
    return _start(record) + record


def decode(encoded: bytes) -> Tally:
    """The tally of `encode`. / raises: InvalidRecord."""
    if encoded[:3] != _MAGIC:
        raise InvalidRecord("these bytes are not a sketch: they do not begin as one")
    if len(encoded) > 3 and encoded[3] > _VERSION:
        raise InvalidRecord(
            f"this sketch has version {encoded[3]}, newer than {_VERSION}; read it with a newer "
            "depthscale"
        )
    record = encoded[_START.size :]
    if encoded[: _START.size] != _start(record):
        raise InvalidRecord("this sketch is damaged: its checksum does not fit its bytes")
    try:
        zeros, *apart, nans, log2_scale, total, square_total, smallest, largest, bins, width = (
            _NUMBERS.unpack_from(record)
        )
        body = zlib.decompress(record[_NUMBERS.size :])
        if len(body) != bins * (2 + width):
            raise ValueError(f"{bins} bins do not fill {len(body)} bytes")
        steps = np.frombuffer(body, "<u2", bins)
        counts = np.frombuffer(body, f"<i{width}", bins, offset=2 * bins).astype(np.int64)
    except (struct.error, zlib.error, ValueError, TypeError) as broken:
        raise InvalidRecord(f"this sketch is damaged: {broken}") from None
    patterns = np.cumsum(steps, dtype=np.uint16)
    tiny, infinities = (apart[0], apart[1]), (apart[2], apart[3])
    return Tally(
        patterns,
        counts,
        zeros,
        tiny,
        infinities,
        nans,
        total,
        square_total,
        smallest,
        largest,
        log2_scale,
    )


def _start(record: bytes) -> bytes:
    return _START.pack(_MAGIC, _VERSION, zlib.crc32(record))
