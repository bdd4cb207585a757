"""Expectations over a Gaussian and over a sphere, each with its error."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Function = Callable[[Array], NDArray[Any]]  # entry by entry
