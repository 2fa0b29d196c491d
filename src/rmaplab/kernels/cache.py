"""The lab's directory: what was fetched and built, each thing complete or not there.

For the room. It stands under XDG_CACHE_HOME (~/.cache); removing it loses nothing but time.
"""

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rmaplab.errors import NotAvailable

ROOM: Final = 2 << 30
"""Bytes that must be free before anything is fetched or built."""


def root() -> Path:
    """The lab's directory, made if it is missing. Raises NotAvailable."""
    base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    path = Path(base, "rmaplab")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NotAvailable(f"the lab's directory {path}: {error.strerror}") from error
    return path


def check_room(path: Path) -> None:
    """Raises NotAvailable if less than ROOM is free there."""
    free = shutil.disk_usage(path).free
    if free < ROOM:
        raise NotAvailable(f"{path}: {free >> 20} MiB free: kernels need {ROOM >> 20} MiB")


def once(name: str, make: Callable[[Path], None]) -> Path:
    """The directory `name` of the lab; `make` fills a new one, which takes its name only when it is complete.

    One process at a time makes it, others wait. Raises what `make` raises, leaving nothing.
    """
    wanted = root() / name
    if wanted.is_dir():
        return wanted
    wanted.parent.mkdir(parents=True, exist_ok=True)
    with locked(name):
        if wanted.is_dir():
            return wanted
        check_room(wanted.parent)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=wanted.parent, ignore_cleanup_errors=True) as new:
            inside = Path(new, "made")
            inside.mkdir()
            try:
                make(inside)
            except OSError as error:
                if error.errno == errno.ENOSPC:
                    raise NotAvailable(f"{wanted.parent}: no space left: kernels need {ROOM >> 20} MiB") from error
                raise
            inside.rename(wanted)
    return wanted


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Only one process on the system is here for one `name`."""
    locks = root() / "locks"
    locks.mkdir(exist_ok=True)
    with open(locks / name.replace("/", "_"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
