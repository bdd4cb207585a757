"""Counters as narrow as what they are to hold: no count is lost where they would be full."""

import numpy as np
import pytest
import torch

from depthscale.sketch import Sketch
from depthscale.sketch.counting import cpu

_DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]


@pytest.mark.parametrize("dtype", _DTYPES)
@pytest.mark.parametrize("value", [0.0, -0.0, 1.0, -3.0, float("inf"), float("nan")])
@pytest.mark.parametrize("count", [cpu._FEW - 1, cpu._FEW, cpu._FEW + 1])
def test_equal_values_are_all_counted(count: int, value: float, dtype: torch.dtype) -> None:
    """All in one row of the table: each of its lanes is as full as it can be."""
    sketch = Sketch.of(torch.full((count,), value, dtype=dtype))
    assert sketch.count == count
    found = {0.0: sketch.zeros, 1.0: sketch.tally.counts.sum(), -3.0: sketch.tally.counts.sum()}
    assert found.get(value, sketch.infs + sketch.nans) == count


def test_narrow_counters_hold_what_they_are_taken_for() -> None:
    """A lane gets every fourth value, and the first the rest, too."""
    assert cpu._FEW // 4 + 3 <= np.iinfo(np.uint16).max < (cpu._FEW + 4) // 4 + 4
