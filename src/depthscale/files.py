"""Files that are whole or not there: written beside their place, then renamed into it."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from depthscale.errors import UnwritablePath


def write(path: Path, content: str | bytes) -> None:
    """Put content at path, replacing what is there, or leave all as it was. / raises: UnwritablePath."""
    with _explained(path):
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        beside = Path(name)
        try:
            with os.fdopen(handle, "wb") as out:
                out.write(content.encode() if isinstance(content, str) else content)
            beside.chmod(0o666 & ~_umask())
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise


def check_folder(folder: Path) -> None:
    """raises: UnwritablePath if files cannot be made in a folder, or the folder not be made; leaves nothing behind."""
    with _explained(folder):
        nearest = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        tempfile.TemporaryFile(dir=nearest).close()


def make_folder(folder: Path) -> None:
    """The folder and those above it. / raises: UnwritablePath."""
    with _explained(folder):
        folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as refused:
        raise UnwritablePath(f"cannot write {path}: {refused.strerror or refused}; name another place") from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
