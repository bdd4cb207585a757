"""No count is lost, however many equal values fall into one row of the table."""

import numpy as np
import pytest
import torch

from depthscale.sketch import Sketch
from depthscale.sketch.counting import counters

_DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]


@pytest.mark.parametrize("dtype", _DTYPES)
@pytest.mark.parametrize("value", [0.0, -0.0, 1.0, -3.0, float("inf"), float("nan")])
@pytest.mark.parametrize("count", [1, 15, 17, 1023, 1041, 1 << 18, (1 << 20) + 5])
def test_equal_values_are_all_counted(count: int, value: float, dtype: torch.dtype) -> None:
    """On both sides of what is counted between two fetches, in a block and in a part."""
    sketch = Sketch.of(torch.full((count,), value, dtype=dtype))
    assert sketch.count == count
    found = {0.0: sketch.zeros, 1.0: sketch.tally.counts.sum(), -3.0: sketch.tally.counts.sum()}
    assert found.get(value, sketch.infs + sketch.nans) == count


def test_parts_add_up() -> None:
    parts = [np.full(5, 2.0**i, np.float32) for i in range(3)]
    tally = counters.count([*parts, np.zeros(4, np.float32)], counters.add_float32)
    assert (tally.counts.tolist(), tally.zeros, tally.total) == ([5, 5, 5], 4, 35.0)
    assert (tally.smallest, tally.largest) == (1.0, 4.0)
