"""Which processes are in a cgroup, and where a cgroup is.

For `rmaplab inspect --cgroup`. A threaded cgroup lists threads only (its `cgroup.procs` refuses with EOPNOTSUPP): its
processes are those that have a thread in it. A cgroup that goes away meanwhile (ENODEV) has none.
"""

import errno
import os
from pathlib import Path
from typing import Final

from rmaplab import proctext
from rmaplab.errors import NotAvailable, RmaplabError
from rmaplab.system.pids import process_of
from rmaplab.system.reading import content

_GONE: Final = (errno.ENOENT, errno.ENODEV)


def cgroup_pids(path: str) -> list[int]:
    """The processes in a cgroup and below, ascending. `path`: a directory, or relative to where cgroups are mounted.

    Raises RmaplabError if there is no such cgroup, NotAvailable if its members may not be read.
    """
    pids: set[int] = set()
    for folder, _, files in os.walk(find_cgroup(path)):
        if "cgroup.procs" in files:
            pids |= _members(Path(folder))
    return sorted(pids)


def find_cgroup(path: str) -> Path:
    """The directory of a cgroup: as given, or below a mounted hierarchy (v2 first). Raises RmaplabError."""
    root = Path("/sys/fs/cgroup")
    hierarchies = [root, root / "unified", root / "freezer", *sorted(root.glob("*"))]
    for candidate in () if not path else (Path(path), *(base / path.lstrip("/") for base in hierarchies)):
        try:
            if (candidate / "cgroup.procs").is_file():
                return candidate
        except (OSError, ValueError):
            continue
    raise RmaplabError(
        f"cgroup {path or repr(path)}: must be a cgroup's directory, or its path below where cgroups are mounted"
    )


def _members(folder: Path) -> set[int]:
    try:
        return _numbers(folder / "cgroup.procs")
    except OSError as error:
        if error.errno in _GONE:
            return set()
        if error.errno != errno.EOPNOTSUPP:
            raise NotAvailable(f"cgroup {folder}: {error.strerror}") from error
    try:
        threads = _numbers(folder / "cgroup.threads")
    except OSError as error:
        if error.errno in (*_GONE, errno.EOPNOTSUPP):
            return set()
        raise NotAvailable(f"cgroup {folder}: {error.strerror}") from error
    return {leader for thread in threads if (leader := process_of(thread))}


def _numbers(file: Path) -> set[int]:
    return set(proctext.pids(content(file)))
