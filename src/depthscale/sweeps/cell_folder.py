"""The cells of a sweep on disk: Parquet files that are whole or not there, written by one process.

What comes in at one time is written at once, into the file begun before as long as that has few
rows: 100,000 cells of 100 ms each would otherwise lie in 10,000 files, which take longer to list
than 2 seconds. A row is in one file only, so nothing is ever there twice.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from types import ModuleType, TracebackType
from typing import IO, Any

from depthscale import files
from depthscale.errors import InvalidRecord, InvalidSpec, MissingPackage, UnwritablePath
from depthscale.sweeps.grid import GridValue

try:
    import fcntl
except ImportError:  # Windows: two sweeps into one folder at one time are not noticed there
    fcntl = None

SCHEMA = "depthscale/sweep/1"
MANIFEST = "sweep.json"
_LOCK = ".sweep.lock"
_ROWS = 1_000  # of a file, from where on another is begun; one of 10 columns has some 60 kB


def arrow() -> ModuleType:
    """pyarrow with its Parquet. / raises: MissingPackage."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingPackage(
            "a sweep keeps its cells with pyarrow; install it: pip install 'depthscale[sweep]'"
        ) from None
    return pyarrow


class CellFolder:
    """A folder that one sweep writes to, locked while it is open.

    Args:
        place: The folder, made where it is missing.
        made_by: What every cell in it has in common, and how to name that in an error.
    """

    def __init__(self, place: Path, made_by: Mapping[str, Any]):
        self.place, self._made_by = place, made_by
        self._lock: IO[bytes] | None = None
        self._open: tuple[Path, list[dict[str, GridValue]]] | None = None  # the file that may grow

    def __enter__(self) -> "CellFolder":
        """raises: InvalidSpec for a folder of another sweep, or one that is being written to;
        UnwritablePath."""
        files.make_folder(self.place)
        try:
            self._lock = (self.place / _LOCK).open("ab")
        except OSError as refused:
            raise UnwritablePath(f"cannot write {self.place}: {files.reason(refused)}") from None
        try:
            self._take_lock(self._lock)
            self._check_manifest()
        except BaseException:
            self._lock.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: Any, where: TracebackType | None
    ) -> None:
        assert self._lock
        self._lock.close()

    def done(self) -> set[str]:
        """The ids of the cells that are there."""
        return set(read_cells(self.place, ["cell"])["cell"].to_pylist())

    def add(self, rows: Sequence[dict[str, GridValue]]) -> None:
        """Put rows there, whole or not at all. / raises: UnwritablePath."""
        if not rows:
            return
        name, before = self._open or (self.place / f"{rows[0]['cell']}.parquet", [])
        together = [*before, *rows]
        files.write(name, _parquet(together))
        self._open = (name, together) if len(together) < _ROWS else None

    def _take_lock(self, lock: IO[bytes]) -> None:
        if fcntl is None:
            return
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InvalidSpec(
                f"another sweep is writing to {self.place}; wait for it, or name another folder"
            ) from None
        except OSError:  # a file system without locks
            return

    def _check_manifest(self) -> None:
        path, ours = self.place / MANIFEST, {"schema": SCHEMA, **self._made_by}
        if not path.exists():
            if any(self.place.glob("*.parquet")):
                raise InvalidSpec(
                    f"{self.place} has Parquet files and no {MANIFEST}, so they are of no sweep; "
                    "name another folder"
                )
            files.write(path, json.dumps(ours, indent=1) + "\n")
            return
        there = read_manifest(self.place)
        other = [name for name in ours if there.get(name) != ours[name]]
        if other:
            raise InvalidSpec(
                f"{self.place} is the folder of another sweep: its {' and '.join(other)} "
                f"{'differ' if len(other) > 1 else 'differs'}; name another folder (more values "
                "and more seeds may join, code may not change)"
            )


def read_manifest(place: Path) -> dict[str, Any]:
    """What made the cells of a folder. / raises: InvalidRecord."""
    try:
        found = json.loads(files.read(place / MANIFEST))
    except (OSError, ValueError) as refused:
        reason = files.reason(refused)
        raise InvalidRecord(f"{place} is no folder of a sweep: {MANIFEST}: {reason}") from None
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise InvalidRecord(f"{place / MANIFEST} is not of schema {SCHEMA}")
    return found


def read_cells(place: Path, columns: list[str] | None = None) -> Any:
    """A pyarrow table of all cells of a folder, or some columns of it. / raises: InvalidRecord for
    a damaged file."""
    pa = arrow()
    tables = [pa.table({"cell": pa.array([], pa.string())})]
    for path in sorted(place.glob("*.parquet")):
        try:
            tables.append(pa.parquet.ParquetFile(path).read(columns=columns))
        except (pa.ArrowInvalid, OSError) as refused:
            reason = files.reason(refused)
            raise InvalidRecord(
                f"{path} is damaged ({reason}); remove it and sweep again"
            ) from None
    return together(tables)


def together(tables: Sequence[Any]) -> Any:
    """Tables one after the other; a column that holds texts in one and numbers in another becomes
    one of texts."""
    pa = arrow()
    kinds: dict[str, set[Any]] = {}
    for field in (field for table in tables for field in table.schema if field.type != pa.null()):
        kinds.setdefault(field.name, set()).add(field.type)
    mixed = {name for name, types in kinds.items() if pa.string() in types and len(types) > 1}
    return pa.concat_tables(
        [_as_texts(table, mixed) for table in tables], promote_options="permissive"
    )


def table_of_rows(rows: Sequence[Mapping[str, GridValue]]) -> Any:
    """Rows as a pyarrow table of all their columns."""
    pa = arrow()
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: _array([row.get(name) for row in rows]) for name in names})


def _array(values: Sequence[GridValue]) -> Any:
    """One type: texts where there is a text, floats where there is one among whole numbers."""
    pa, kinds = arrow(), {type(value) for value in values} - {type(None)}
    if len(kinds) > 1 and kinds != {int, float}:
        return pa.array([None if value is None else str(value) for value in values], pa.string())
    return pa.array(values, pa.float64() if float in kinds else None)


def _parquet(rows: Sequence[Mapping[str, GridValue]]) -> bytes:
    pa, whole = arrow(), BytesIO()
    pa.parquet.write_table(table_of_rows(rows), whole)
    return whole.getvalue()


def _as_texts(table: Any, names: Iterable[str]) -> Any:
    pa = arrow()
    for name in set(names) & set(table.column_names):
        where = table.column_names.index(name)
        texts = pa.array(
            [None if v is None else str(v) for v in table[name].to_pylist()], pa.string()
        )
        table = table.set_column(where, name, texts)
    return table
