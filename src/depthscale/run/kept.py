"""Readings of a frozen record that are computed once and kept with it."""

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def kept(record: object, name: str, compute: Callable[[], T]) -> T:
    """What `compute` returns, computed at the first call and kept in the record's own dictionary.

    A cached property does the same; this one is for readings that live in a higher layer. A weak
    table would keep every record for ever, because its readings refer to it.
    """
    readings = vars(record)
    if name not in readings:
        readings[name] = compute()
    return readings[name]
