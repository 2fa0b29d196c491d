"""Names of code: from ELF symbol tables, and from the maps that interpreters write for perf.

For `rmaplab.watch.answer`. A file is read once, through the mount namespace of who ran it while that is there. Names are
as their authors chose them: `rmaplab.text` makes them safe where they are shown.
"""

import errno
import os
import stat
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import BinaryIO, Final

import numpy as np
from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from rmaplab import proctext
from rmaplab.system.reading import content
from rmaplab.watch.space import Place

_SYMBOL: Final = np.dtype(
    [("name", "<u4"), ("info", "u1"), ("other", "u1"), ("section", "<u2"), ("value", "<u8"), ("size", "<u8")]
)
"""Elf64_Sym."""
_FUNCTIONS: Final = (2, 10)
"""STT_FUNC, STT_GNU_IFUNC."""
_LARGEST_MAP: Final = 64 << 20


@dataclass(slots=True)
class _Table:
    """Functions by their first byte, ascending; `sizes` 0 where unknown."""

    starts: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def name(self, address: int) -> str:
        at = bisect_right(self.starts, address) - 1
        if at < 0 or (self.sizes[at] and address >= self.starts[at] + self.sizes[at]):
            return ""
        return self.names[at]


class Symbols:
    """Names of places; remembers every file it has read."""

    def __init__(self) -> None:
        self._files: dict[tuple[str, str], tuple[_Table, list[tuple[int, int, int]]]] = {}
        self._maps: dict[int, _Table] = {}

    def name(self, place: Place) -> str:
        """ "function (file)", or "(file+0x10)" for code without a name."""
        if not place.path.startswith("/"):
            found = self._perf_map(place.pid).name(place.offset)
            return found or (f"({place.path})" if place.path else "(anonymous code)")
        table, segments = self._file(place)
        short = PurePath(place.path).name
        address = next((v + place.offset - o for o, v, n in segments if o <= place.offset < o + n), None)
        found = "" if address is None else table.name(address)
        return f"{found} ({short})" if found else f"({short}+{place.offset:#x})"

    def prepare(self, place: Place) -> None:
        """Read what `name` will need while the process is there."""
        if place.path.startswith("/"):
            self._file(place)
        else:
            self._perf_map(place.pid, again=True)

    def _file(self, place: Place) -> tuple[_Table, list[tuple[int, int, int]]]:
        key = place.namespace, place.path
        if key not in self._files:
            inside = f"/proc/{place.pid}/root{place.path}"
            same = os.path.exists(f"/proc/{place.pid}/root/")
            self._files[key] = _functions(inside if same else place.path)
        return self._files[key]

    def _perf_map(self, pid: int, *, again: bool = False) -> _Table:
        if pid not in self._maps or (again and not self._maps[pid].starts):
            self._maps[pid] = _perf_map(pid)
        return self._maps[pid]


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    """A regular file that somebody else may have chosen: one that is a FIFO or a device by now is not opened.

    Raises OSError.
    """
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(place).st_mode):
            raise OSError(errno.EINVAL, "must be a regular file", path)
        with open(f"/proc/self/fd/{place}", "rb") as file:
            yield file
    finally:
        os.close(place)


def _functions(path: str) -> tuple[_Table, list[tuple[int, int, int]]]:
    """The functions of an ELF file by virtual address, and its segments: offset, address, bytes. Empty if it is none."""
    try:
        with _opened(path) as file:
            elf, whole = ELFFile(file), os.fstat(file.fileno()).st_size
            segments = [
                (one["p_offset"], one["p_vaddr"], one["p_filesz"])
                for one in elf.iter_segments()
                if one["p_type"] == "PT_LOAD"
            ]
            parts = []
            for section in (".symtab", ".dynsym"):
                symbols = elf.get_section_by_name(section)
                if symbols is not None and elf.elfclass == 64 and elf.little_endian:
                    strings = elf.get_section(symbols["sh_link"])
                    if max(symbols["sh_size"], strings["sh_size"]) > whole:
                        continue
                    parts.append((np.frombuffer(symbols.data(), _SYMBOL), strings.data()))
            return _sorted(parts), segments
    except (OSError, ELFError, ValueError, LookupError, TypeError, AttributeError, OverflowError):
        return _Table(), []  # nor does pyelftools itself expect what a hostile file can say


def _sorted(parts: list[tuple[np.ndarray, bytes]]) -> _Table:
    found: dict[int, tuple[int, str]] = {}
    for symbols, strings in parts:
        kept = symbols[np.isin(symbols["info"] & 15, _FUNCTIONS) & (symbols["value"] != 0)]
        for row in kept:
            at = int(row["name"])
            name = proctext.decoded(strings[at : strings.find(b"\0", at)])
            found.setdefault(int(row["value"]), (int(row["size"]), name))
    ordered = sorted(found)
    return _Table(ordered, [found[one][0] for one in ordered], [found[one][1] for one in ordered])


def _perf_map(pid: int) -> _Table:
    """/tmp/perf-PID.map as interpreters write it (lines "START SIZE NAME", hexadecimal), in the process' own /tmp."""
    rows = []
    for path in (f"/proc/{pid}/root/tmp/perf-{_inner(pid)}.map", f"/tmp/perf-{pid}.map"):
        try:
            with _opened(path) as file:
                raw = file.read(_LARGEST_MAP)
        except OSError:
            continue
        for line in proctext.lines(raw):
            start, _, rest = line.partition(b" ")
            size, _, name = rest.partition(b" ")
            try:
                rows.append((int(start, 16), int(size, 16), proctext.decoded(name)))
            except ValueError:
                continue
        break
    rows.sort(key=lambda row: row[0])
    return _Table([row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows])


def _inner(pid: int) -> int:
    """Its PID in its own namespace."""
    try:
        lines = content(f"/proc/{pid}/status").split(b"\n")
        return next((int(line.split()[-1]) for line in lines if line.startswith(b"NSpid:")), pid)
    except (OSError, ValueError):
        return pid
