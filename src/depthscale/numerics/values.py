"""The types of what is computed: arrays of float64, and functions of them, entry by entry."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Function = Callable[[Array], NDArray[Any]]
