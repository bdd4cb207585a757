"""sweep: every cell of a grid, on this machine or on a Ray cluster, kept on disk as it comes."""

import json
import os
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from importlib import import_module
from importlib.metadata import version
from inspect import Parameter
from math import ceil
from numbers import Integral
from pathlib import Path
from time import monotonic
from typing import Any, Literal

from depthscale import files
from depthscale.errors import InvalidSpec, MissingPackage
from depthscale.sweeps.cell_folder import CellFolder, arrow, read_cells, table_of_rows, together
from depthscale.sweeps.default_measure import propagation
from depthscale.sweeps.grid import SweepCell, cells_of, checked_grid, checked_seeds
from depthscale.sweeps.identity import fingerprint, own_modules
from depthscale.sweeps.local_pool import LocalPool, WorkerDied
from depthscale.sweeps.one_cell import CellRow, Recipe, died, takes
from depthscale.sweeps.ray_cluster import RayCluster
from depthscale.sweeps.sweep_result import Sweep

Backend = Literal["local", "ray"]
_CHUNK = 1.0  # seconds of cells that are handed out together; a handing costs under a millisecond
_MOST = 4096  # cells of a chunk
_TRIES = 2  # of a cell alone that ends its process
_PAGE = 5.0  # seconds between two pages of a running sweep
_PAGE_SHARE = 50  # times as long as a page takes to write, at least, until the next


def sweep(
    make: Callable[..., Any],
    grid: Mapping[str, Sequence[Any]],
    *,
    seeds: int | Sequence[int] = 1,
    measure: Callable[..., Any] = propagation,
    inputs: Any = None,
    out: str | Path | None = None,
    backend: Backend = "local",
    workers: int | None = None,
    address: str | None = None,
    html: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Sweep:
    """Call a factory with every combination of a grid's arguments and every seed, and measure what
    it makes.

    A cell is identified by what makes it: the code of factory and measure, arguments, seed, inputs
    and version. What is done lies in the folder, whole or not at all, so the same call goes on
    where one was ended, and more values or seeds join what is there. A cell that fails is a row
    with its error.

    Args:
        make: Takes the grid's names, and `seed` if it has such a parameter. Returns a module, a
            pair of one and its inputs, or a `NetSpec`; or whatever `measure` takes. torch, Python
            and numpy are seeded before each call.
        grid: The values of each argument: numbers, texts, booleans or None.
        seeds: How many, from 0 on, or which.
        measure: What was made -> a number, or columns by name: numbers, texts, booleans, None.
            The default probes the model: growth, ledger and verdict.
        inputs: Of models that come without, as `probe` takes them.
        out: The folder of the cells. Without one they are kept in memory alone.
        backend: "local": processes of this machine; "ray": a Ray cluster.
        workers: How many processes; by default one a core. A Ray cluster that is there has its own.
        address: Of a Ray cluster. By default the one that this process is connected to, or a new
            one on this machine.
        html: A page that is written again and again while the sweep runs.
        progress: Called with the number of cells done and in all.

    Returns:
        `Sweep`: its `table()` has a row for each cell, `map(x, y, color)` is a chart and a page.

    Raises:
        InvalidSpec: A grid, seeds or workers that are none, a factory that does not take the
            grid's names, a folder of another sweep.
        MissingPackage: pyarrow, cloudpickle or Ray is not installed.
        UnwritablePath: The folder or the page cannot be written.
    """
    columns, numbers = checked_grid(grid), checked_seeds(seeds)
    _check_factory(make, tuple(columns))
    _check_backend(backend, workers, address)
    recipe = Recipe(make, measure, inputs)
    pickled, made_by = _pickled(recipe), _made_by(recipe, columns)
    cells = list(cells_of(columns, numbers, json.dumps(made_by, sort_keys=True)))
    arrow()
    with ExitStack() as at_end:
        if html is not None:
            files.check_file(Path(html))
        place = Path(out or at_end.enter_context(tempfile.TemporaryDirectory()))
        folder = at_end.enter_context(CellFolder(place, made_by))
        before, rows = read_cells(place), []
        done = set(before["cell"].to_pylist())
        todo = [cell for cell in cells if cell.id not in done]

        def result() -> Sweep:
            table = together([before, table_of_rows(rows)]) if rows else before
            return Sweep.of(columns, numbers, cells, table, Path(out) if out else None)

        page = _Page(Path(html) if html is not None else None, result)
        if progress:
            progress(len(cells) - len(todo), len(cells))
        for new in _rows(todo, pickled, backend, workers, address):
            folder.add(new)
            rows += new
            if progress:
                progress(len(cells) - len(todo) + len(rows), len(cells))
            page.look()
        page.write()
        return result()


def _rows(
    todo: Sequence[SweepCell],
    pickled: bytes,
    backend: Backend,
    workers: int | None,
    address: str | None,
) -> Iterator[list[CellRow]]:
    """Rows as they come, those that are done at one time together."""
    if not todo:
        return
    cores = workers or os.cpu_count() or 1
    pool = (
        LocalPool(pickled, min(cores, len(todo)))
        if backend == "local"
        else RayCluster(pickled, workers, address)
    )
    try:
        yield from _computed(pool, todo)
    finally:
        pool.close()


def _computed(pool: LocalPool | RayCluster, todo: Sequence[SweepCell]) -> Iterator[list[CellRow]]:
    """Chunks handed out and taken in. / A chunk whose process died is tried again cell by cell."""
    waiting, suspects, deaths = deque(todo), deque[SweepCell](), Counter[str]()
    running: dict[Any, list[SweepCell]] = {}
    size = 1
    while waiting or suspects or running:
        while (waiting or suspects) and len(running) < pool.slots:
            chunk = [suspects.popleft()] if suspects else _taken(waiting, size, pool.slots)
            running[pool.submit([(cell.arguments, cell.seed) for cell in chunk])] = chunk
        new: list[CellRow] = []
        for finished in pool.first(list(running)):
            chunk = running.pop(finished)
            try:
                rows, seconds = pool.answer(finished)
            except WorkerDied:
                deaths.update(cell.id for cell in chunk if len(chunk) == 1)
                lost = [cell for cell in chunk if deaths[cell.id] >= _TRIES]
                suspects.extend(cell for cell in chunk if deaths[cell.id] < _TRIES)
                new += [{"cell": cell.id, **died(cell.arguments, cell.seed)} for cell in lost]
                continue
            new += [{"cell": cell.id, **row} for cell, row in zip(chunk, rows, strict=True)]
            size = _size(len(chunk), seconds)
        yield new


def _taken(waiting: deque[SweepCell], size: int, slots: int) -> list[SweepCell]:
    """The next chunk: no more than its share of what is left, so that all end together."""
    return [waiting.popleft() for _ in range(min(size, ceil(len(waiting) / slots)))]


def _size(cells: int, seconds: float) -> int:
    """Cells of about a second, after what a chunk took; at most twice as many as it had."""
    fitting = _CHUNK * cells / seconds if seconds > 0 else _MOST
    return max(1, int(min(fitting, 2 * cells, _MOST)))


class _Page:
    """A page of a sweep that is running, written every few seconds."""

    def __init__(self, path: Path | None, result: Callable[[], Sweep]):
        self._path, self._result, self._next = path, result, 0.0

    def look(self) -> None:
        if self._path is not None and monotonic() >= self._next:
            began = monotonic()
            self.write()
            took = monotonic() - began
            self._next = began + took + max(_PAGE, _PAGE_SHARE * took)

    def write(self) -> None:
        """The report is asked by name, so that no record depends on it."""
        if self._path is not None:
            import_module("depthscale._report.render").report(self._result(), self._path)


def _pickled(recipe: Recipe) -> bytes:
    """What every worker is given; the user's own modules by value, since a worker may lack them."""
    try:
        import cloudpickle
    except ImportError:
        raise MissingPackage(
            "a sweep sends functions with cloudpickle; install it: pip install 'depthscale[sweep]'"
        ) from None
    modules = [*own_modules(recipe.make), *own_modules(recipe.measure)]
    with ExitStack() as at_end:
        for module in dict.fromkeys(modules):
            if module.__name__ not in cloudpickle.list_registry_pickle_by_value():
                cloudpickle.register_pickle_by_value(module)
                at_end.callback(cloudpickle.unregister_pickle_by_value, module)
        try:
            return cloudpickle.dumps(recipe)
        except Exception as wrong:
            raise InvalidSpec(
                f"the factory or the measure cannot be sent to a worker: {wrong}; keep open files, "
                "locks and generators inside them"
            ) from None


def _made_by(recipe: Recipe, names: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "factory": fingerprint(recipe.make),
        "measure": fingerprint(recipe.measure),
        "inputs": fingerprint(recipe.inputs),
        "names": sorted(names),
        "version": f"depthscale {version('depthscale')}, torch {version('torch')}",
    }


def _check_factory(make: Any, names: tuple[str, ...]) -> None:
    """raises: InvalidSpec where a call with these names cannot succeed."""
    if not callable(make):
        raise InvalidSpec(f"a sweep calls a factory with the grid's names, got {make!r}")
    parameters = takes(make)
    if parameters is None:
        return
    open_ended = any(each.kind is Parameter.VAR_KEYWORD for each in parameters.values())
    called = getattr(make, "__name__", "the factory").replace("<lambda>", "the factory")
    by_name = [n for n, p in parameters.items() if p.kind not in (Parameter.POSITIONAL_ONLY,)]
    foreign = [name for name in names if name not in by_name and not open_ended]
    if foreign:
        raise InvalidSpec(
            f"{called} does not take the grid's {', '.join(foreign)}; it takes "
            f"{', '.join(by_name) or 'nothing'}"
        )
    single = (Parameter.VAR_KEYWORD, Parameter.VAR_POSITIONAL)
    needed = [
        name
        for name, each in parameters.items()
        if each.default is Parameter.empty
        and each.kind not in single
        and name not in (*names, "seed")
    ]
    if needed:
        raise InvalidSpec(
            f"{called} needs {', '.join(needed)}, too; name values in the grid, or give a default"
        )


def _check_backend(backend: Any, workers: Any, address: Any) -> None:
    if backend not in ("local", "ray"):
        raise InvalidSpec(f"backend must be 'local' or 'ray', got {backend!r}")
    if address is not None and backend != "ray":
        raise InvalidSpec("an address is of a Ray cluster; give backend='ray', too")
    whole = isinstance(workers, Integral) and not isinstance(workers, bool) and int(workers) >= 1
    if workers is not None and not whole:
        raise InvalidSpec(f"workers must be a whole number from 1, got {workers!r}")
