"""Segments: records appended to a file one by one, each whole or not there.

A segment is a mark, the length and the checksum of what follows, and JSON, compressed. Whoever
reads takes every segment that is whole: what a killed process left half-written is passed over,
and what was appended behind it is found by its mark.
"""

import json
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from depthscale import files
from depthscale.errors import InvalidRecord, UnwritablePath

_MARK = b"\x93DSMON\r\n"
_HEAD = struct.Struct("<II")  # length, checksum
_LARGEST = 1 << 30  # bytes of one segment's JSON


class Appender:
    """A file that only grows. / raises: UnwritablePath where it cannot be opened."""

    def __init__(self, path: Path):
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
            self._file = os.open(path, flags, 0o666)
        except OSError as refused:
            raise UnwritablePath(
                f"cannot write {path}: {files.reason(refused)}; name another place"
            ) from None

    def add(self, content: dict[str, Any]) -> None:
        """One more segment. / raises: OSError, ValueError."""
        packed = zlib.compress(json.dumps(content, allow_nan=False).encode(), 1)
        whole = memoryview(_MARK + _HEAD.pack(len(packed), zlib.crc32(packed)) + packed)
        while len(whole):
            whole = whole[os.write(self._file, whole) :]

    def settle(self) -> None:
        """Wait until what was written is on the disk."""
        os.fsync(self._file)

    def close(self) -> None:
        os.close(self._file)


def segments(path: Path) -> Iterator[dict[str, Any]]:
    """Every whole segment of a file, in order. / raises: InvalidRecord where there is none."""
    try:
        data = files.read(path)
    except OSError as refused:
        raise InvalidRecord(f"cannot read {path}: {files.reason(refused)}") from None
    at = data.find(_MARK)
    if at < 0:
        raise InvalidRecord(f"{path} is no recording of a monitor: it holds no segment")
    while at >= 0:
        content, end = _content(data, at + len(_MARK))
        if content is not None:
            yield content
        at = data.find(_MARK, end)


def _content(data: bytes, head: int) -> tuple[dict[str, Any] | None, int]:
    """Of a segment whose head is there, and where to look for the next one."""
    start = head + _HEAD.size
    if start > len(data):
        return None, len(data)
    length, checksum = _HEAD.unpack_from(data, head)
    packed = data[start : start + length]
    if len(packed) < length or zlib.crc32(packed) != checksum:
        return None, head
    try:
        content = json.loads(zlib.decompressobj().decompress(packed, _LARGEST))
    except (zlib.error, ValueError, RecursionError):
        return None, head
    return (content if isinstance(content, dict) else None), start + length
