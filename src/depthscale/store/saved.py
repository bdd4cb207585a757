"""save, load: a run as a file, whole, and back."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from depthscale import files
from depthscale.errors import InvalidRecord
from depthscale.network import Meaning
from depthscale.run import Run, with_meanings
from depthscale.store.plain import Misfit, as_plain, rebuilt
from depthscale.store.validity import require_whole

SCHEMA = "depthscale/2"


def save(run: Run, path: str | Path) -> None:
    """Write a run, sketches included, to a JSON file.

    Args:
        run: simulated, probed or predicted.
        path: the file; what stood there is as it was where it cannot be written.

    Raises:
        UnwritablePath: where the file cannot be written.
        InvalidRecord: where parts of the run do not fit each other, so that `load` would refuse it.
    """
    if not isinstance(run, Run):
        raise TypeError(f"save takes a Run, got {type(run).__name__}")
    content = saved_record(run, f"to {path}")
    files.write(Path(path), json.dumps(content, indent=1, allow_nan=False) + "\n")


def saved_record(run: Run, where: str) -> dict[str, Any]:
    """A run as JSON's types. / where: it goes, for a message; raises: as `save`."""
    try:
        require_whole(run)
    except Misfit as wrong:
        raise InvalidRecord(
            f"cannot save this run {where}: run{wrong}; it was put together by hand, or this is "
            "a fault of depthscale: report it"
        ) from None
    return {"schema": SCHEMA, "run": as_plain(_without_meanings(run))}


def load(path: str | Path) -> Run:
    """The run in a JSON file that `save` wrote.

    Raises:
        InvalidRecord: for another schema, by name, and for anything that is no such record.
    """
    try:
        loaded = json.loads(files.read(Path(path)))
    except OSError as refused:
        raise InvalidRecord(f"cannot read {path}: {files.reason(refused)}") from None
    except (ValueError, RecursionError) as broken:
        raise InvalidRecord(f"{path} is not JSON: {broken}") from None
    return saved_run(loaded, path)


def saved_run(loaded: Any, path: str | Path) -> Run:
    """The run that JSON's types stand for. / raises: as `load`."""
    _require_schema(loaded, path)
    try:
        run = rebuilt(Run, loaded.get("run"))
        require_whole(run)
    except Misfit as wrong:
        raise InvalidRecord(
            f"{path} is not a whole record: run{wrong}; save the run again, with this version"
        ) from None
    try:
        return with_meanings(run)
    except Exception as wrong:
        raise InvalidRecord(
            f"{path} is not a whole record: a setting of its calls is none ({wrong}); save the "
            "run again, with this version"
        ) from None


def _require_schema(loaded: Any, path: str | Path) -> None:
    schema = loaded.get("schema") if isinstance(loaded, dict) else None
    if not isinstance(schema, str) or not schema.startswith("depthscale/"):
        raise InvalidRecord(f"{path} is not a depthscale record: it has no schema")
    if "command" in loaded:
        raise InvalidRecord(
            f"{path} is a record of {loaded['command']!r} for reading; only what --save or save "
            "wrote can be loaded"
        )
    if schema != SCHEMA:
        raise InvalidRecord(
            f"{path} has schema {schema}, this version reads {SCHEMA}; read it with the "
            "depthscale that wrote it"
        )


def _without_meanings(run: Run) -> Run:
    """Meanings follow from the calls, and are made again."""
    ops = tuple(
        op if op.call is None else replace(op, call=replace(op.call, meaning=Meaning()))
        for op in run.graph.ops
    )
    return replace(run, graph=replace(run.graph, ops=ops))
