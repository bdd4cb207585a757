"""compare: several runs, operation by operation, or place by place of depth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, nan
from typing import Any, Literal

import numpy as np

from depthscale.drawable import Drawable
from depthscale.errors import InvalidProbe, UnreliableGrowth
from depthscale.measure.analysis import Analysis
from depthscale.measure.growth import Growth, rates_apart
from depthscale.numerics import normal_deviate
from depthscale.run import Array, Quantity, Run, data_frame

AS_UNLIKELY = "as unlikely as Student's t of the difference"
_SHOWN = 5
_ALIKE = 1e-3  # log2 of a mean square: not worth a line
_BARE = ("model", "mode", "source")  # facts that say themselves what they are
_HELD = 1000.0  # log2 of a mean square that floats hold


@dataclass(frozen=True, eq=False)
class Ratio:
    """One quantity of a run over the first run's, row by row.

    Attributes:
        log2_ratio: [rows] log2 of the ratio of mean squares; nan where one of them is not known.
        relative_stderr: [rows] of that ratio; nan where a run has no standard errors.
        z_score: [rows] how far the ratio lies from 1, as the standard normal deviate that is as
            unlikely as Student's t over so few networks; nan where there is nothing to go by.
    """

    log2_ratio: Array
    relative_stderr: Array
    z_score: Array

    def at(self, rows: Sequence[int]) -> "Ratio":
        """The same at some of its rows."""
        chosen = np.asarray(rows, int)
        return Ratio(self.log2_ratio[chosen], self.relative_stderr[chosen], self.z_score[chosen])


@dataclass(frozen=True, eq=False)
class Difference:
    """One run over the first one.

    Attributes:
        gradient, activation, batch_variance: mean squares, row by row.
        z_score: how far its rate of growth lies from the first one's, by Student's t as a standard
            normal deviate; nan without both rates.
        only_first, only_this: names of operations that the other has not; none where rows are
            places, of whose operations no names are compared.
    """

    gradient: Ratio
    activation: Ratio
    batch_variance: Ratio
    z_score: float
    only_first: tuple[str, ...] = ()
    only_this: tuple[str, ...] = ()

    @property
    def size(self) -> Array:
        """[rows] The larger of the gradient's and the activation's change, without its sign; 0
        where neither is known."""
        changes = np.abs([self.gradient.log2_ratio, self.activation.log2_ratio])
        return np.where(np.isfinite(changes), changes, 0.0).max(axis=0)


@dataclass(frozen=True, eq=False)
class Comparison(Drawable):
    """Several runs on the same rows.

    Attributes:
        runs: by name; the first is what the others are compared with.
        by: what a row is: an operation that all have, or a place of depth, counted from the input.
        rows: names of the first run's operations there.
        at: by run, the position of each row's operation in its graph.
        growths: by run, of the gradient; None where there is none to trust.
        differences: by name, of all runs but the first.
    """

    runs: Mapping[str, Run]
    by: Literal["operation", "place"]
    rows: tuple[str, ...]
    at: Mapping[str, tuple[int, ...]]
    growths: Mapping[str, Growth | None]
    differences: Mapping[str, Difference]

    def __getitem__(self, name: str) -> Difference:
        """The difference of the run of that name from the first one."""
        return self.differences[name]

    @property
    def second(self) -> Difference:
        """The difference of the second run from the first."""
        return next(iter(self.differences.values()))

    def label(self, name: str, row: int) -> str:
        """A row of a run by the names of what is compared there: "2", or "2 against 1"."""
        own = self.runs[name].graph.ops[self.at[name][row]].name
        return " against ".join(dict.fromkeys((own, self.rows[row])))

    def largest(self, name: str) -> tuple[int, ...]:
        """Rows in the order of how much that run differs there."""
        size = self.differences[name].size
        return tuple(sorted(range(len(self.rows)), key=lambda row: -size[row]))

    def __repr__(self) -> str:
        first = next(iter(self.runs))
        lines = [f"Comparison: {len(self.rows)} {self.by}s in {', '.join(self.runs)}"]
        lines += [f"  growth {name}: {rate}" for name, rate in self.growths.items() if rate]
        for name, difference in self.differences.items():
            if isfinite(difference.z_score):
                lines.append(
                    f"  {name} apart from {first} by a normal deviate of "
                    f"{difference.z_score:+.1f}, {AS_UNLIKELY}"
                )
            changed = [row for row in self.largest(name)[:_SHOWN] if difference.size[row] > _ALIKE]
            lines += [f"  {name} over {first}, in RMS: {self._line(name, row)}" for row in changed]
            if not changed:
                lines.append(f"  {name} has each gradient and activation that {first} has")
        return "\n".join(lines)

    def _line(self, name: str, row: int) -> str:
        difference = self.differences[name]
        gradient, activation = (
            _in_rms(ratio.log2_ratio[row]) for ratio in (difference.gradient, difference.activation)
        )
        return f"{self.label(name, row)} gradient x{gradient}, activation x{activation}"

    def to_pandas(self) -> Any:
        """A pandas DataFrame, a row for each of the comparison's rows.

        Raises:
            MissingPackage: where pandas is not installed.
        """
        columns: dict[str, Any] = {self.by: list(self.rows)}
        for name, difference in self.differences.items():
            for quantity in ("gradient", "activation"):
                ratio: Ratio = getattr(difference, quantity)
                columns[f"{quantity}, {name}"] = ratio.log2_ratio
                columns[f"{quantity} z, {name}"] = ratio.z_score
        return data_frame(columns, "row")


def compare(*runs: Run | Mapping[str, Run]) -> Comparison:
    """How several runs differ from the first: simulated, probed or predicted, in any mix.

    Rows are the operations of one name, where the runs share at least half of them; else the
    places where steps of depth begin and end, counted from the input. Ratios are judged by
    Student's t over the standard errors of both runs together, as if independent; places of one
    network are not independent of each other.

    Args:
        runs: two or more, or one mapping of them by name.

    Returns:
        Comparison; its standard errors are those of the runs' networks.

    Raises:
        InvalidProbe: for fewer than two runs, and where they share neither operations nor a depth.

    Example:
        >>> import depthscale as ds
        >>> plain, normed = (ds.predict(ds.NetSpec(depth=4, norm=n)) for n in ("none", "batch"))
        >>> ds.compare({"plain": plain, "normed": normed}).by
        'place'
    """
    named = _named(runs)
    by, at = _aligned(named)
    first = next(iter(named))
    growths = {name: _growth(run) for name, run in named.items()}
    rest = {name: run for name, run in named.items() if name != first}
    return Comparison(
        runs=named,
        by=by,
        rows=tuple(named[first].graph.ops[i].name for i in at[first]),
        at=at,
        growths=growths,
        differences={
            name: _difference(
                (named[first], run),
                (at[first], at[name]),
                (growths[first], growths[name]),
                _alone(named[first], run) if by == "operation" else ((), ()),
            )
            for name, run in rest.items()
        },
    )


def gradient_along_depth(first: Run, other: Run) -> Ratio:
    """The gradient of one run over another's at the places of depth, which they have in common."""
    places = (first.graph.places, other.graph.places)
    return _difference((first, other), places).gradient


def _named(runs: Sequence[Any]) -> dict[str, Run]:
    if len(runs) == 1 and isinstance(runs[0], Mapping):
        named = {str(name): run for name, run in runs[0].items()}
    else:
        named = {str(i): run for i, run in enumerate(runs)}
    wrong = [type(run).__name__ for run in named.values() if not isinstance(run, Run)]
    if wrong:
        raise TypeError(f"compare takes runs, or a mapping of runs by name, got {wrong[0]}")
    if len(named) < 2:
        raise InvalidProbe(f"compare takes two runs or more, got {len(named)}")
    return named if isinstance(runs[0], Mapping) else run_names(list(named.values()))


def run_names(runs: Sequence[Run]) -> dict[str, Run]:
    """Runs by what tells them apart: fields of their networks, or how they came to be; else by
    number."""
    described = all(run.graph.is_described for run in runs)
    facts = [_described(run) if described else _measured(run) for run in runs]
    keys = [
        key
        for key in dict.fromkeys(key for fact in facts for key in fact)
        if len({str(fact[key]) for fact in facts if key in fact}) > 1
    ]
    named: dict[str, Run] = {}
    for i, (fact, run) in enumerate(zip(facts, runs, strict=True)):
        words = ", ".join(
            str(fact[key]) if key in _BARE else f"{key} {fact[key]}" for key in keys if key in fact
        )
        plain = words or (run.model if "model" in fact else "run")
        named[words if words and words not in named else f"{plain} ({i + 1})"] = run
    return named


def _described(run: Run) -> dict[str, Any]:
    return {**run.spec, "loss": run.loss, "source": _source(run), "seed": run.seed}


def _measured(run: Run) -> dict[str, Any]:
    """Facts of a run beside one of a model; a description is told by its few first fields."""
    if run.graph.is_described:
        return {"model": f"{_source(run)} of {run.model}"}
    keys = ("seed", "passes", "networks") if run.networks else ()
    return {key: getattr(run, key) for key in ("model", "mode", "loss", "batch", *keys)}


def _source(run: Run) -> str:
    return "simulation" if run.networks else "theory"


def _aligned(
    runs: Mapping[str, Run],
) -> tuple[Literal["operation", "place"], dict[str, tuple[int, ...]]]:
    """Which operations of the runs stand in one row."""
    described = all(run.graph.is_described for run in runs.values())
    keys = {
        name: {(op.name, op.op): op.id for op in run.ops if described or not op.is_input}
        for name, run in runs.items()
    }
    shared = [key for key in next(iter(keys.values())) if all(key in ids for ids in keys.values())]
    whole = all(len(shared) == len(ids) for ids in keys.values())
    if whole or (not described and 2 * len(shared) >= min(map(len, keys.values()))):
        return "operation", {name: tuple(ids[key] for key in shared) for name, ids in keys.items()}
    places = {
        name: run.graph.places if described else _boundaries(run) for name, run in runs.items()
    }
    depth = min(map(len, places.values()))
    if not depth:
        first = ", ".join([op.name for op in next(iter(runs.values())).ops if not op.is_input][:3])
        raise InvalidProbe(
            f"{' and '.join(runs)} share neither operations of one name ({first} ...) nor a depth "
            "of repeated steps: compare networks that repeat a block, or one model before and "
            "after a change"
        )
    return "place", {name: ids[:depth] for name, ids in places.items()}


def _boundaries(run: Run) -> tuple[int, ...]:
    """Where the whole steps of depth begin and end."""
    depth = Analysis.of(run).depth
    return tuple(sorted({op for pair in depth.pairs for op in pair})) if depth else ()


def _difference(
    runs: tuple[Run, Run],
    at: tuple[tuple[int, ...], tuple[int, ...]],
    growths: tuple[Growth | None, Growth | None] = (None, None),
    alone: tuple[tuple[str, ...], tuple[str, ...]] = ((), ()),
) -> Difference:
    a, b = runs
    degrees = sum(max(_networks(run) - 1, 0) for run in runs)
    ratios = [
        _ratio(of(b).at(at[1]), of(a).at(at[0]), degrees)
        for of in (_gradient, _activation, _batch_variance)
    ]
    only_first, only_this = alone
    return Difference(
        *ratios, z_score=rates_apart(*growths), only_first=only_first, only_this=only_this
    )


def _alone(first: Run, this: Run) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of each one's operations that the other has not, by name and function."""
    a, b = ({(op.name, op.op) for op in run.ops if not op.is_input} for run in (first, this))
    only_first, only_this = (
        tuple(op.name for op in run.ops if not op.is_input and (op.name, op.op) not in others)
        for run, others in ((first, b), (this, a))
    )
    return only_first, only_this


def _networks(run: Run) -> int:
    return run.networks if np.isfinite(run.readings.gradient.relative_stderr).any() else 0


def _gradient(run: Run) -> Quantity:
    return run.readings.gradient


def _activation(run: Run) -> Quantity:
    return run.readings.activation


def _batch_variance(run: Run) -> Quantity:
    return run.readings.batch_variance or Quantity.exact(np.full(len(run), nan))


def _ratio(a: Quantity, b: Quantity, degrees: int) -> Ratio:
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        same = a.log2_mean_square == b.log2_mean_square  # both may be -inf: exactly 0
        log2_ratio = np.where(same, 0.0, a.log2_mean_square - b.log2_mean_square)
        ratio = np.exp2(log2_ratio)
        stderr = np.hypot(ratio * a.relative_stderr, ratio * b.relative_stderr)
        t = np.where(stderr > 0, (ratio - 1) / stderr, np.nan)
        z = normal_deviate(t, degrees) if degrees > 0 else np.full_like(t, nan)
        return Ratio(log2_ratio, stderr, z)


def _growth(run: Run) -> Growth | None:
    rate = Analysis.of(run).gradient
    return None if isinstance(rate, UnreliableGrowth) else rate


def _in_rms(log2_ms: float) -> str:
    if not isfinite(log2_ms):
        return "?"
    return f"{2.0 ** (log2_ms / 2):.4g}" if abs(log2_ms) < _HELD else f"2^{log2_ms / 2:.0f}"
