"""Text that /proc and /sys give, taken apart: bytes in, values out.

For every reader of such text. Names in it (of programs, files, cgroups, mounts) are bytes that anybody may choose: any
but NUL, also newlines where the kernel does not escape them, `)`, and what is no UTF-8. So lines end at b"\\n" only (what
`str.splitlines` takes for an end of line may be part of a name), numbers are taken from where no name can stand, and
names become `str` as UTF-8 with `surrogateescape`: nothing is lost, whatever the locale. What can be shown of such a
`str`, and how, is `rmaplab.text`'s to say. Opens nothing.

Raises `Malformed` for what the kernel never writes. Formats: Documentation/filesystems/proc.rst, fs/proc/array.c,
fs/proc/task_mmu.c, fs/proc_namespace.c, kernel/cgroup/cgroup.c of Linux 6.18.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from rmaplab.errors import NotAvailable

_MAPS: Final = re.compile(
    rb"([0-9a-f]{1,16})-([0-9a-f]{1,16}) ([r-][w-][x-][sp]) ([0-9a-f]{1,16}) [0-9a-f]+:[0-9a-f]+ [0-9]+ *(.*)", re.DOTALL
)
_FIELD: Final = re.compile(rb"([A-Za-z_]+): *\t* *(.*)", re.DOTALL)
_KILOBYTES: Final = re.compile(rb"([0-9]{1,16}) kB")
_OCTAL: Final = re.compile(rb"\\([0-3][0-7]{2})")
_STAT_FIELDS, _DIGITS = 20, 10
_SHOWN: Final = 60


_NUMBERS: Final = re.compile(rb"\s*[A-Za-z](?:\s+-?[0-9]{1,20})*\s*")
"""What follows the name in /proc/PID/stat: the state's letter, then numbers of up to 64 bits."""


class Malformed(NotAvailable):
    """Text that this kernel's documentation does not explain; the message has its kind and its beginning."""

    def __init__(self, kind: str, raw: bytes) -> None:
        super().__init__(f"{kind}: {raw[:_SHOWN]!r}: is not what Linux writes there")


def decoded(raw: bytes) -> str:
    """A name as `str`; `encoded` gives the same bytes back."""
    return raw.decode("utf-8", "surrogateescape")


def encoded(name: str) -> bytes:
    """The bytes of a `decoded` name."""
    return name.encode("utf-8", "surrogateescape")


def lines(raw: bytes) -> list[bytes]:
    """The lines, without their b"\\n"."""
    found = raw.split(b"\n")
    return found if found[-1] else found[:-1]


class Stat(NamedTuple):
    """/proc/PID/stat: the name, and the fields after it: `fields[0]` is the state, field 3 of proc_pid_stat(5)."""

    name: str
    fields: tuple[str, ...]


def stat(raw: bytes) -> Stat:
    """The name may hold `)`, spaces and newlines: it ends at the last `)`, after which there are numbers only."""
    before, opened, rest = raw.partition(b"(")
    name, closed, after = rest.rpartition(b")")
    fields = after.split()
    if not (opened and closed and before.strip().isdigit() and _NUMBERS.fullmatch(after)) or len(fields) < _STAT_FIELDS:
        raise Malformed("stat", raw)
    return Stat(decoded(name), tuple(after.decode("ascii").split()))


class MapsLine(NamedTuple):
    """A line of /proc/PID/maps, or the first of a VMA in smaps. `path`: "" for anonymous memory.

    A newline in a path reads `\\012` there, and so does a backslash with three digits: the kernel escapes no other.
    """

    start: int
    end: int
    permissions: str
    offset: int
    path: str


def maps_line(line: bytes) -> MapsLine:
    """One line, without its newline."""
    found = _MAPS.fullmatch(line)
    if found is None:
        raise Malformed("maps", line)
    start, end, permissions, offset, path = found.groups()
    return MapsLine(int(start, 16), int(end, 16), permissions.decode("ascii"), int(offset, 16), decoded(path))


def smaps(raw: bytes) -> Iterator[tuple[int, dict[str, int]]]:
    """Each VMA of smaps, or the one of smaps_rollup: start, and bytes by key ("Rss", ...).

    Lines that give no size (VmFlags, THPeligible) are left out.
    """
    start, sizes = -1, dict[str, int]()
    for line in lines(raw):
        if found := _FIELD.fullmatch(line):
            if size := _KILOBYTES.fullmatch(found[2]):
                sizes[found[1].decode("ascii")] = int(size[1]) * 1024
            continue
        if start >= 0:
            yield start, sizes
        start, sizes = maps_line(line).start, {}
    if start >= 0:
        yield start, sizes


def fields(raw: bytes) -> dict[str, str]:
    """The lines "key: value" of /proc/PID/status, cpuinfo, ksm_stat and their like; of equal keys the first.

    The kernel escapes newlines and backslashes in status' names. The colon is optional: ksm_stat has both.
    """
    found: dict[str, str] = {}
    for line in lines(raw):
        key, colon, value = line.partition(b":")
        if not colon:
            key, _, value = line.partition(b" ")
        found.setdefault(decoded(key.strip()), decoded(value.strip()))
    return found


def arguments(raw: bytes) -> list[str]:
    """The arguments in /proc/PID/cmdline. A process may write there what it likes."""
    return [decoded(word) for word in raw.rstrip(b"\0").split(b"\0")] if raw.rstrip(b"\0") else []


def cgroups(raw: bytes) -> dict[str, str]:
    """Path by controllers ("" is v2's) from /proc/PID/cgroup. A path may hold colons, but no newline."""
    found: dict[str, str] = {}
    for line in lines(raw):
        number, controllers, path = _three(line)
        if not number.isdigit():
            raise Malformed("cgroup", line)
        found[decoded(controllers)] = decoded(path)
    return found


def _three(line: bytes) -> tuple[bytes, bytes, bytes]:
    number, first, rest = line.partition(b":")
    controllers, second, path = rest.partition(b":")
    if not (first and second):
        raise Malformed("cgroup", line)
    return number, controllers, path


def pids(raw: bytes) -> list[int]:
    """The numbers in cgroup.procs or cgroup.threads; without 0, who is of another PID namespace."""
    words = raw.split()
    if not all(word.isdigit() and len(word) <= _DIGITS for word in words):
        raise Malformed("cgroup.procs", raw)
    return [pid for word in words if (pid := int(word))]


class Mount(NamedTuple):
    """One mount: `device` is "MAJOR:MINOR" (mountinfo only), `kind` the type of file system, `options` as mounted."""

    device: str
    point: str
    kind: str
    options: tuple[str, ...]


def mounts(raw: bytes) -> list[Mount]:
    """/proc/PID/mounts, oldest first; a later one covers an earlier one at the same point."""
    found = []
    for line in lines(raw):
        words = line.split(b" ")
        if len(words) < 4:
            raise Malformed("mounts", line)
        found.append(Mount("", decoded(unescaped(words[1])), decoded(unescaped(words[2])), _options(words[3])))
    return found


def mountinfo(raw: bytes) -> list[Mount]:
    """/proc/PID/mountinfo, oldest first. `options` are those of mount and file system."""
    found = []
    for line in lines(raw):
        words = line.split(b" ")
        if len(words) < 10 or b"-" not in words[6:-3]:
            raise Malformed("mountinfo", line)
        kind, _source, own = words[words.index(b"-", 6) + 1 :][:3]
        device, point = decoded(words[2]), decoded(unescaped(words[4]))
        found.append(Mount(device, point, decoded(unescaped(kind)), _options(words[5]) + _options(own)))
    return found


def _options(word: bytes) -> tuple[str, ...]:
    return tuple(decoded(unescaped(option)) for option in word.split(b","))


def unescaped(word: bytes) -> bytes:
    """A word of mounts, mountinfo or swaps with its octal escapes (space, tab, newline, backslash) resolved."""
    return _OCTAL.sub(lambda found: bytes([int(found[1], 8)]), word)


def swaps(raw: bytes) -> list[str]:
    """The names in /proc/swaps."""
    return [decoded(unescaped(line.split(b" ")[0])) for line in lines(raw)[1:]]
