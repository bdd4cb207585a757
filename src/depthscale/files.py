"""Files that are whole or not there: written beside their place, then renamed into it; and files
that are read.

What is beside its place is locked by the process that writes it. So whoever can lock such a file
knows that its process was killed, and removes it.
"""

import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

import numpy as np

from depthscale.errors import InvalidInput, UnwritablePath

try:
    import fcntl
except ImportError:  # Windows has no such locks, and nothing is removed there
    fcntl = None

_BESIDE = ".depthscale-"  # how the names of files begin that are not yet in their place


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
    with ExitStack() as at_end:
        written = {}
        for path, content in contents.items():
            # a lone surrogate becomes ?
            content = content.encode(errors="replace") if isinstance(content, str) else content
            with _explained(path):
                if path.exists() and not path.is_file() and not path.is_dir():
                    path.write_bytes(content)
                    continue
                place = path.resolve()
                written[place] = _beside(place, content, at_end)
        for place, beside in written.items():
            with _explained(place):
                beside.replace(place)


def read(path: Path) -> bytes:
    """What a regular file holds. A pipe, which may never end, is refused, and so is a device.

    raises: OSError.
    """
    with _opened(path) as file:
        return file.read()


def read_array(path: Path) -> np.ndarray:
    """The array in a .npy file; nothing in it is run. / raises: InvalidInput."""
    try:
        with _opened(path) as file:
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
        raise InvalidInput(
            f"cannot read {path}: {reason(refused)}; write an array of numbers with numpy.save"
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


def reason(refused: Exception) -> str:
    """Why a file could not be opened, in the system's words where it has some."""
    return refused.strerror if isinstance(refused, OSError) and refused.strerror else str(refused)


def _opened(path: Path) -> IO[bytes]:
    """A regular file, open. A pipe without a writer would wait for one. / raises: OSError."""
    file = open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb")  # noqa: PTH123
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise OSError("it is not a regular file")


def _beside(place: Path, content: bytes, at_end: ExitStack) -> Path:
    """A file of that content in the folder of its place, with the rights it will have there; until
    the end it is locked, and then removed where it still is."""
    mode = place.stat().st_mode & 0o777 if place.exists() else 0o666 & ~_umask()
    _sweep(place.parent)
    file, beside = _locked(place.parent)
    at_end.enter_context(file)
    at_end.callback(beside.unlink, missing_ok=True)
    file.write(content)
    file.flush()
    beside.chmod(mode)
    return beside


def _locked(folder: Path) -> tuple[IO[bytes], Path]:
    """A new file that no sweep removes. One that a sweep met before it was locked is gone."""
    while True:
        handle, name = tempfile.mkstemp(prefix=_BESIDE, dir=folder)
        file, locked = os.fdopen(handle, "wb"), True
        with suppress(OSError):  # of a file system that has no locks, and so no sweeps
            locked = _lock(handle)
        if locked:
            return file, Path(name)
        file.close()


def _sweep(folder: Path) -> None:
    """Remove what killed processes left in a folder."""
    for beside in folder.glob(f"{_BESIDE}*"):
        with suppress(OSError), beside.open("rb+") as file:
            if fcntl is not None and _lock(file.fileno()):
                beside.unlink()


def _lock(handle: int) -> bool:
    """Lock an open file, until it is closed or the process ends. / returns: whether it was free,
    and still has a name; raises: OSError where there are no locks."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return os.fstat(handle).st_nlink > 0


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as refused:
        raise UnwritablePath(
            f"cannot write {path}: {reason(refused)}; name another place"
        ) from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
