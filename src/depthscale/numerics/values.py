"""What is computed: arrays of float64, functions of them, entry by entry, and numbers held by
their log2."""

from collections.abc import Callable
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Function = Callable[[Array], NDArray[Any]]


def two_to(log2_value: float) -> float:
    """2 to a power; infinity where float64 does not hold it."""
    return 2.0**log2_value if not log2_value >= 1024 else inf
