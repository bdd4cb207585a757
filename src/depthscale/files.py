"""Files that are whole or not there: written beside their place, then renamed into it; and arrays
read from files."""

import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np

from depthscale.errors import InvalidInput, UnwritablePath

_PREFIX, _SUFFIX = ".depthscale-", ".part"  # of a file before it is renamed into its place
_LEFT = 3600.0  # seconds that no process takes from writing one to renaming it


def write(path: Path, content: str | bytes) -> None:
    """Put content at path, replacing what is there, or leave all as it was. / raises:
    UnwritablePath."""
    write_all({path: content})


def write_all(contents: Mapping[Path, str | bytes]) -> None:
    """Put every content at its path, or leave all as it was: nothing is renamed before everything
    is written.

    A link is followed, a file keeps its rights, and what is no regular file (a device, a pipe) is
    written to.
    raises: UnwritablePath.
    """
    with ExitStack() as on_failure:
        written = {}
        for path, content in contents.items():
            # a lone surrogate becomes ?
            content = content.encode(errors="replace") if isinstance(content, str) else content
            with _explained(path):
                if path.exists() and not path.is_file() and not path.is_dir():
                    path.write_bytes(content)
                    continue
                place = path.resolve()
                written[place] = _beside(place, content)
                on_failure.callback(written[place].unlink, missing_ok=True)
        for place, beside in written.items():
            with _explained(place):
                beside.replace(place)


def read_array(path: Path) -> np.ndarray:
    """The array in a .npy file; nothing in it is run. / raises: InvalidInput."""
    try:
        with path.open("rb") as file:
            if file.read(6) != b"\x93NUMPY":
                raise ValueError("it is not a .npy file")
            file.seek(0)
            return np.load(file, allow_pickle=False)
    except (
        OSError,
        ValueError,
        EOFError,
        MemoryError,
        OverflowError,
        TypeError,
        SyntaxError,
    ) as refused:
        reason = (
            refused.strerror if isinstance(refused, OSError) and refused.strerror else str(refused)
        )
        raise InvalidInput(
            f"cannot read {path}: {reason}; write an array of numbers with numpy.save"
        ) from None


def check_file(path: Path) -> None:
    """raises: UnwritablePath if a file cannot be made at path; leaves nothing behind."""
    with _explained(path):
        if path.is_dir():
            raise IsADirectoryError(21, "it is a folder")
        if not path.exists():
            tempfile.TemporaryFile(dir=path.resolve().parent).close()


def check_folder(folder: Path) -> None:
    """raises: UnwritablePath if files cannot be made in a folder, or the folder not be made; leaves
    nothing behind."""
    with _explained(folder):
        folder = folder.resolve()
        nearest = next(place for place in (folder, *folder.parents) if place.exists())
        tempfile.TemporaryFile(dir=nearest).close()


def make_folder(folder: Path) -> None:
    """The folder and those above it. / raises: UnwritablePath."""
    with _explained(folder):
        folder.resolve().mkdir(parents=True, exist_ok=True)


def _beside(place: Path, content: bytes) -> Path:
    """A file of that content in the folder of its place, with the rights it will have there."""
    mode = place.stat().st_mode & 0o777 if place.exists() else 0o666 & ~_umask()
    _clean(place.parent)
    handle, name = tempfile.mkstemp(_SUFFIX, _PREFIX, place.parent)
    beside = Path(name)
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(content)
        beside.chmod(mode)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    return beside


def _clean(folder: Path) -> None:
    """Remove what processes that were killed have left there."""
    for left in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
        with suppress(OSError):  # another process was first, or it is another user's
            if time.time() - left.stat().st_mtime > _LEFT:
                left.unlink()


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as refused:
        reason = (
            refused.strerror if isinstance(refused, OSError) and refused.strerror else str(refused)
        )
        raise UnwritablePath(f"cannot write {path}: {reason}; name another place") from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
