"""The COW table: every survivor of small fork trees writes, in a booted kernel; its pages were reused or copied.

For `rmaplab kernel test`. A static C program does it in seconds, in an initramfs: no Python in the guest.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from rmaplab.errors import NotAvailable
from rmaplab.kernels.guest import PATIENCE, Ended, Guest, GuestError
from rmaplab.kernels.obtain import Bootable
from rmaplab.kernels.qemu import Hardware

_PROGRAM: Final = Path(__file__).resolve().parent / "cowtable.c"
ORDERS: Final = (2, 3, 4, 5, 6, 7, 8, 9)
MMS: Final = 8
_UNKNOWN_TO_KERNEL: Final = 3


@dataclass(frozen=True, slots=True)
class Row:
    """One tree: `survivor` (from 1, in order of birth) of `mms` MMs wrote all pages of one folio."""

    mms: int
    topology: Literal["star", "chain"]
    order: int
    survivor: int
    reused_pages: int
    copied_pages: int


@dataclass(frozen=True, slots=True)
class Table:
    """All trees, the orders that the kernel does not give, and how the guest ended."""

    rows: tuple[Row, ...]
    without: tuple[int, ...]
    ended: Ended


def compiled(source: Path) -> bytes:
    """A program of the lab's own, linked statically. Raises NotAvailable."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if not compiler:
        raise NotAvailable("no C compiler: the lab's programs need gcc")
    with tempfile.TemporaryDirectory() as place:
        out = Path(place, "program")
        made = subprocess.run(
            [compiler, "-O2", "-Wall", "-static", "-o", out, source], capture_output=True, text=True, check=False
        )
        if made.returncode:
            raise NotAvailable(f"{source.name}: cannot be compiled: {made.stderr.strip().splitlines()[0]}")
        return out.read_bytes()


def table(boots: Bootable, mms: int = MMS, orders: Sequence[int] = ORDERS) -> Table:
    """Boot and fill the table. Raises NotAvailable, GuestError."""
    command = f"/lab/cowtable {mms} {' '.join(str(order) for order in orders)}"
    hardware = Hardware(memory=1024, root=False, disk=False)
    files = {"lab/cowtable": compiled(_PROGRAM)}
    with Guest(boots.image, command, hardware, boots.append, files) as guest:
        ended = guest.wait(PATIENCE)
    if ended.status == _UNKNOWN_TO_KERNEL:
        raise NotAvailable(f"{boots.image.title}: the COW table: {ended.err.decode(errors='replace').strip()}")
    if ended.status:
        raise GuestError(f"{boots.image.title}: the COW table ended with {ended.status}")
    lines = [line.split() for line in ended.out.decode().splitlines()]
    without = tuple(int(words[1]) for words in lines if words[0] == "no")
    return Table(tuple(_row(words) for words in lines if words[0] != "no"), without, ended)


def _row(words: Sequence[str]) -> Row:
    topology: Literal["star", "chain"] = "chain" if words[0] == "chain" else "star"
    mms, order, survivor, reused, copied = (int(word) for word in words[1:])
    return Row(mms, topology, order, survivor, reused, copied)
