"""Timeline: the sampled steps of a training run, a row each."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthscale.drawable import Drawable
from depthscale.monitor.step_row import StepRow
from depthscale.run import data_frame


@dataclass(frozen=True)
class Timeline(Drawable):
    """A training run by its sampled steps.

    Attributes:
        rows: one a sampled step, in order; see StepRow.
        model: its class.
    """

    rows: tuple[StepRow, ...]
    model: str = ""

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[StepRow]:
        return iter(self.rows)

    def __getitem__(self, name: str) -> NDArray[Any]:
        """A column, as an array.

        Raises:
            KeyError: naming the columns that there are.
        """
        if name not in COLUMNS:
            raise KeyError(f"no column {name!r}; there are {', '.join(COLUMNS)}")
        return np.array([getattr(row, name) for row in self.rows])

    def record(self) -> dict[str, Any]:
        """Plain values, as JSON takes them."""
        return {"model": self.model, "rows": [asdict(row) for row in self.rows]}

    def to_pandas(self) -> Any:
        """A pandas DataFrame, a row a sampled step.

        Raises:
            MissingPackage: where pandas is not installed.
        """
        columns = {name: self[name] for name in COLUMNS if name != "step"}
        return data_frame(columns, "step").set_index(self["step"]).rename_axis("step")

    def __repr__(self) -> str:
        if not self.rows:
            return "Timeline(no sampled step yet)"
        first, last = self.rows[0].step, self.rows[-1].step
        return f"Timeline({self.model}: {len(self)} sampled steps, {first} to {last})"


COLUMNS = tuple(f.name for f in fields(StepRow))
HEADINGS = {f.name: f.metadata.get("heading", f.name) for f in fields(StepRow)}
_KEYS = (
    "loss",
    "rate",
    "stderr",
    "total",
    "activation_rate",
    "dead",
    "saturated",
    "lost",
    "nonfinite",
    "update",
    "update_most",
    "clipped",
    "scale",
)


def scalars(rows: Sequence[StepRow], alerts: int) -> dict[str, float]:
    """The last row as a flat dict of few numbers, those left out that there are not."""
    if not rows:
        return {}
    values = {name: float(getattr(rows[-1], name)) for name in _KEYS}
    known = {f"depthscale/{name}": value for name, value in values.items() if isfinite(value)}
    return known | {"depthscale/alerts": float(alerts)}
