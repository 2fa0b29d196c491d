"""The one place that writes files: pages, plots, tables of traces.

For every command with an output path. Only a regular file is ever replaced, by renaming a finished one into its place;
what else a path can lead to (device, FIFO, a descriptor of ours) is written to, and links are followed. What fails is
one `RmaplabError` naming path and reason (`NotAvailable` if it is the system's fault), the old file is as it was, and
nothing half-written stays.
"""

import ctypes
import errno
import os
import re
import secrets
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from rmaplab.errors import NotAvailable, RmaplabError

_SYSTEM: Final = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EPIPE}
)
_OS_ERROR: Final = re.compile(r"os error (\d+)")
_EXCHANGE, _AT_FDCWD = 2, -100


@contextmanager
def told(path: str | os.PathLike[str], *library: type[Exception]) -> Iterator[None]:
    """What fails within the block is the failure to write `path`. `library`: the errors of a library that writes."""
    try:
        yield
    except OSError as error:
        raise failure(path, error.errno, error.strerror or str(error)) from error
    except library as error:
        found = _OS_ERROR.search(str(error))
        number = int(found[1]) if found else None
        reason = os.strerror(number) if number else str(error).partition("\n")[0]
        raise failure(path, number, reason) from error


def failure(path: str | os.PathLike[str], number: int | None, reason: str) -> RmaplabError:
    """The error that says that `path` could not be written, and whose fault it is."""
    kind = NotAvailable if number in _SYSTEM else RmaplabError
    return kind(f"{os.fspath(path)}: cannot be written: {reason}")


def check_place(path: str | os.PathLike[str]) -> None:
    """Raise RmaplabError where `write_file` is bound to fail: for commands, before they begin."""
    with told(path):
        if _descriptor(path) is not None:
            return
        mode = _mode(path)
        if mode is None:
            _check_folder(Path(os.path.realpath(path)).parent)
        elif stat.S_ISDIR(mode):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
        elif stat.S_ISSOCK(mode):
            raise OSError(errno.ENXIO, "is a socket")
        elif not os.access(path, os.W_OK):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        elif stat.S_ISREG(mode):
            _check_folder(Path(os.path.realpath(path)).parent)


def write_file(path: str | os.PathLike[str], content: str | bytes, *, private: bool = False) -> None:
    """Write `content` (text as UTF-8) to `path`. `private`: a new file is readable by its owner only.

    An existing file keeps mode and owner. Raises RmaplabError, NotAvailable.
    """
    data = content.encode() if isinstance(content, str) else content
    check_place(path)
    with told(path):
        own = _descriptor(path)
        mode = _mode(path)
        if own is not None:
            sys.stdout.flush()
            with os.fdopen(os.dup(own), "wb") as file:
                file.write(data)
        elif mode is None or stat.S_ISREG(mode):
            _replace(Path(os.path.realpath(path)), data, 0o600 if private else None)
        else:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC), "wb") as file:
                file.write(data)


def write_folder(path: str | os.PathLike[str], fill: Callable[[Path], None]) -> None:
    """Have `fill` make the files of a directory, which then appears at `path` whole, or not at all.

    A directory that is there is replaced: the caller has said that it may be. Raises OSError, and what `fill` raises.
    """
    target = Path(os.path.realpath(path))
    fresh = target.parent / _name()
    with ExitStack() as undo:
        _make_parents(target.parent, undo)
        undo.callback(shutil.rmtree, fresh, ignore_errors=True)
        fresh.mkdir()
        fill(fresh)
        for file in fresh.iterdir():
            _sync(file)
        _sync(fresh)
        _put_in_place(fresh, target)
        _sync(target.parent)
        undo.pop_all()


def _replace(target: Path, data: bytes, new_mode: int | None) -> None:
    before = target.stat() if target.exists() else None
    fresh = target.parent / _name()
    with ExitStack() as undo:
        undo.callback(fresh.unlink, missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        asked = 0o666 if new_mode is None else new_mode
        with os.fdopen(os.open(fresh, flags, asked if before is None else 0o600), "wb") as file:
            file.write(data)
            file.flush()
            if before is not None:
                with suppress(PermissionError):
                    os.fchown(file.fileno(), before.st_uid, before.st_gid)
                os.fchmod(file.fileno(), stat.S_IMODE(before.st_mode))
            os.fsync(file.fileno())
        fresh.replace(target)
        undo.pop_all()
    _sync(target.parent)


def _put_in_place(fresh: Path, target: Path) -> None:
    """Rename; an older directory goes the other way in the same moment, where the file system can do that."""
    if not target.exists():
        fresh.rename(target)
    elif _exchange(fresh, target):
        shutil.rmtree(fresh, ignore_errors=True)
    else:
        old = target.parent / _name()
        target.rename(old)
        with ExitStack() as undo:
            undo.callback(old.rename, target)
            fresh.rename(target)
            undo.pop_all()
        shutil.rmtree(old, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Have two names change places; False if the file system cannot."""
    renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    if renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS):
        return False
    raise OSError(number, os.strerror(number))


def _make_parents(folder: Path, undo: ExitStack) -> None:
    """Make what is missing of a path; `undo` takes it away again, deepest first, where nobody has put anything there."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(missing):
        one.mkdir()
        undo.callback(_remove_empty, one)


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def _check_folder(folder: Path) -> None:
    if not stat.S_ISDIR(folder.stat().st_mode):
        raise OSError(errno.ENOTDIR, f"{folder}: {os.strerror(errno.ENOTDIR)}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OSError(errno.EACCES, f"{folder}: {os.strerror(errno.EACCES)}")


def _mode(path: str | os.PathLike[str]) -> int | None:
    """What `path` leads to; None if to nothing yet. Raises OSError for what can never be a path."""
    try:
        return os.stat(path).st_mode
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise OSError(errno.EINVAL, str(error)) from error


def _descriptor(path: str | os.PathLike[str]) -> int | None:
    """The descriptor of ours that `path` means (/dev/stdout, /dev/fd/3): a regular file behind it is not replaced."""
    name = os.fspath(path)
    for _ in range(40):
        name = os.path.join(os.path.realpath(os.path.dirname(name) or "."), os.path.basename(name))
        found = re.fullmatch(rf"/proc/{os.getpid()}/(?:task/\d+/)?fd/(\d+)", name)
        if found:
            return int(found[1])
        if not os.path.islink(name):
            return None
        name = os.path.join(os.path.dirname(name), os.readlink(name))
    return None


def _sync(path: Path) -> None:
    """To the disk, where the file system knows how."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def _name() -> str:
    """Short: a name that fits beside the target's own, however long that is."""
    return f".rmaplab-{secrets.token_hex(4)}"
