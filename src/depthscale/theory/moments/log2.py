"""Sums and products of numbers that are held by their log2."""

from collections.abc import Iterable
from functools import reduce
from math import inf, log, log1p, log2, nan


def log2_of(value: float) -> float:
    """log2, with -inf at 0 and below, where rounding may lead; nan stays."""
    return log2(value) if value > 0 else nan if value != value else -inf


def product_of(a: float, b: float) -> float:
    """log2 of a product from those of its factors; 0 times infinity is 0, since what is exactly 0
    stays so."""
    return -inf if -inf in (a, b) else a + b


def sum_of(a: float, b: float) -> float:
    """log2 of a sum from those of its terms."""
    low, high = (a, b) if a < b else (b, a)
    return high if low == -inf or high == inf else high + log1p(2.0 ** (low - high)) / log(2)


def total_of(terms: Iterable[float]) -> float:
    """log2 of a sum from those of its terms; -inf of none."""
    return reduce(sum_of, terms, -inf)
