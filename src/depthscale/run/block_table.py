"""Blocks: a run as people read it, one row a place of depth."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf, isfinite, nan
from typing import Any

from depthscale.drawable import Drawable
from depthscale.network import Count
from depthscale.run.frames import rows_frame

_HELD = 2000.0  # log2 of a mean square whose root float64 holds


@dataclass(frozen=True)
class BlockRow:
    """One place of depth: a block, or what lies before, between and behind blocks.

    Attributes:
        name: path of the module, or of its first and last operation.
        part: the tower that it lies in, as "encoder.block"; "" of what is no block.
        kind: class of the block, or what a step is; "" of what is no block.
        first, last: ids of its first and last operation.
        out: id of the operation whose output the rest of the network reads.
        source: id of the operation outside that it takes the trunk from; None where nothing is.
        shape: of that output.
        activation, gradient: RMS of that output x, and of dE/dx.
        forward: activation here over activation at the source, in RMS.
        backward: gradient at the source over gradient here, in RMS.
        branches: RMS of a branch over that of the trunk which it is added to, sum by sum.
        parameter_gradient: RMS over all its parameters; nan unless the probe was asked for them.
        theory_forward, theory_backward: the same gains as theory has them; nan without.
        from_theory: whether these come from rules alone; False where a gain measured inside the
            block stands for a rule that is missing.
        findings: rules that `diagnose` reports here, the worst first.
        log2_activation_ms, log2_gradient_ms: log2 of the mean squares, which no number leaves.
    """

    name: str
    part: str
    kind: str
    first: Count
    last: Count
    out: Count
    source: Count | None
    shape: tuple[Count, ...]
    log2_activation_ms: float
    log2_gradient_ms: float
    log2_forward: float
    log2_backward: float
    branches: tuple[float, ...] = ()
    log2_parameter_gradient_ms: float = nan
    log2_theory_forward: float = nan
    log2_theory_backward: float = nan
    from_theory: bool = False
    findings: tuple[str, ...] = ()

    @property
    def activation(self) -> float:
        return root_of(self.log2_activation_ms)

    @property
    def gradient(self) -> float:
        return root_of(self.log2_gradient_ms)

    @property
    def forward(self) -> float:
        return root_of(self.log2_forward)

    @property
    def backward(self) -> float:
        return root_of(self.log2_backward)

    @property
    def parameter_gradient(self) -> float:
        return root_of(self.log2_parameter_gradient_ms)

    @property
    def theory_forward(self) -> float:
        return root_of(self.log2_theory_forward)

    @property
    def theory_backward(self) -> float:
        return root_of(self.log2_theory_backward)


_PLAIN = ("activation", "gradient", "forward", "backward", "parameter_gradient")
_COLUMNS = (
    *("part", "kind", "shape", *_PLAIN, "branches", "theory_forward", "theory_backward"),
    *("from_theory", "findings", "first", "last", "out", "source"),
    *("log2_activation_ms", "log2_gradient_ms"),
)


@dataclass(frozen=True, eq=False)
class Blocks(Drawable):
    """The blocks of a run, from the input to the output.

    Attributes:
        rows: one a place of depth.

    Example:
        >>> import depthscale as ds
        >>> blocks = ds.predict(ds.NetSpec(depth=4, width=8, norm="batch", batch=64)).blocks()
        >>> [round(block.backward, 3) for block in blocks if block.kind][1:-1]
        [1.223, 1.223]
    """

    rows: tuple[BlockRow, ...]

    def __iter__(self) -> Iterator[BlockRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, at: int | str) -> BlockRow:
        """By place, or by name. / raises: KeyError with the nearest names."""
        if isinstance(at, int):
            return self.rows[at]
        from difflib import get_close_matches

        for row in self.rows:
            if row.name == at:
                return row
        near = get_close_matches(at, [row.name for row in self.rows], 3, 0.3)
        raise KeyError(f"no block {at!r}; the nearest: {', '.join(near) or 'none'}")

    @property
    def parts(self) -> tuple[str, ...]:
        """The towers, or resolutions, that blocks lie in, as they are first met."""
        return tuple(dict.fromkeys(row.part for row in self.rows if row.kind))

    def to_dict(self) -> list[dict[str, Any]]:
        """Plain values, a dictionary a row."""
        names = ["name", *_COLUMNS]
        return [{name: getattr(row, name) for name in names} for row in self.rows]

    def to_pandas(self) -> Any:
        """A pandas DataFrame, a row a block, by its name. / raises: MissingPackage where pandas is
        not installed."""
        return rows_frame(self.rows, _COLUMNS, "block", "name")

    def __repr__(self) -> str:
        lines = [
            f"  {row.name}: activation {row.activation:.3g}, gradient {row.gradient:.3g}, "
            f"x{row.backward:.3g} backward"
            for row in self.rows
        ]
        return "\n".join([f"Blocks: {len(self)} rows", *lines])


def root_of(log2_ms: float) -> float:
    """nan where float64 does not hold it."""
    if isfinite(log2_ms):
        return 2.0 ** (log2_ms / 2) if abs(log2_ms) < _HELD else nan
    return 0.0 if log2_ms == -inf else log2_ms
