"""PIDs, checked in one place: what may be one, and which process it is now.

For the command line and for everybody who gets a PID from outside. A number that is no PID means a group, or everybody,
to kill(2): it must not get that far.
"""

import operator
import os
import re
from dataclasses import dataclass
from typing import Final

from rmaplab.errors import RmaplabError
from rmaplab.system.reading import content

MAX_PID: Final = 1 << 22
"""PID_MAX_LIMIT of 64-bit Linux."""
_RULE: Final = f"must be a running process, a number of 1 .. {MAX_PID}"
_START: Final = 19
_DIGITS: Final = 10
_NUMBERS: Final = re.compile(rb"\s*[A-Za-z](?:\s+-?[0-9]{1,20})+\s*")
"""What follows the name in /proc/PID/stat."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A process as it was seen: `start` (clock ticks after boot) tells a reused PID."""

    pid: int
    start: int


def checked_pid(value: object) -> int:
    """`value` as a PID: an integer (no bool, no float) or ASCII digits. Raises RmaplabError naming value and rule.

    Says nothing about whether there is such a process; `find` does.
    """
    if isinstance(value, str):
        number = int(value) if re.fullmatch(r"[0-9]+", value) and len(value) <= _DIGITS else 0
    elif isinstance(value, bool) or type(value).__name__ == "bool_":
        number = 0
    else:
        try:
            number = operator.index(value)  # type: ignore[arg-type]
        except TypeError:
            number = 0
    if not 1 <= number <= MAX_PID:
        raise RmaplabError(f"PID {_shown(value)}: {_RULE}")
    return number


def find(value: object) -> Seen:
    """The process that `value` names, now. Raises RmaplabError if it is no PID, nobody's, or a thread's."""
    pid = checked_pid(value)
    leader = process_of(pid)
    if leader is None:
        raise RmaplabError(f"PID {pid}: must be a running process")
    if leader != pid:
        raise RmaplabError(f"PID {pid}: is a thread of process {leader}: must be the process")
    start = start_time(pid)
    if start is None:
        raise RmaplabError(f"PID {pid}: must be a running process")
    return Seen(pid, start)


def process_of(pid: int) -> int | None:
    """The process that a PID or TID belongs to; None if there is none, or it is hidden."""
    try:
        lines = content(f"/proc/{pid}/status").split(b"\n")
    except OSError:
        return None
    said = next((line[5:].strip() for line in lines if line.startswith(b"Tgid:")), b"")
    return int(said) if said.isdigit() and len(said) <= _DIGITS else None


def stat_fields(pid: int, thread: int | None = None) -> list[bytes] | None:
    """The fields of /proc/PID/stat (of a thread: /proc/PID/task/TID/stat) after the name, state first; None if gone."""
    path = f"/proc/{pid}/stat" if thread is None else f"/proc/{pid}/task/{thread}/stat"
    try:
        after = content(path).rpartition(b")")[2]
    except OSError:
        return None
    return after.split() if _NUMBERS.fullmatch(after) else None


def start_time(pid: int) -> int | None:
    """When a process began, in clock ticks after boot; None if it is gone or hidden."""
    fields = stat_fields(pid)
    return int(fields[_START]) if fields and len(fields) > _START else None


def ancestors() -> set[int]:
    """Our own PID, and those of our parents up to init."""
    found: set[int] = set()
    pid = os.getpid()
    while pid > 0 and pid not in found:
        found.add(pid)
        fields = stat_fields(pid)
        pid = int(fields[1]) if fields else 0
    return found


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 4 * _DIGITS else f"{text[: 4 * _DIGITS]}..."
