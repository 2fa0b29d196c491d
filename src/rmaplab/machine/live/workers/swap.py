"""A swap device that lives as long as a live machine: zram, with a header of our own, and swap-in without readahead.

For the warden, which takes everything back when its machine ends, and for the coordinator, which asks `why_not` first.
Standard library only. A machine must be alone on the system while it has one: every process feels it.
"""

import ctypes
import os
import struct
from pathlib import Path

ZRAM = Path("/sys/class/zram-control")
SWAPS = Path("/proc/swaps")
READAHEAD = Path("/proc/sys/vm/page-cluster")
"""Readahead of 2^N pages at a swap-in: what comes in besides would be chance."""

_ZSWAP = Path("/sys/module/zswap/parameters/enabled")
_PAGE = 4096
_INFO = 1024
"""Where `union swap_header` (include/linux/swap.h) has its numbers: version, last page, bad pages."""
_MAGIC = b"SWAPSPACE2"
_CAP_SYS_ADMIN = 1 << 21

_libc = ctypes.CDLL(None, use_errno=True)


def why_not() -> str:
    """The reason why this system has no place for a swap device of ours, empty if it has."""
    if not ZRAM.exists():
        return f"no {ZRAM}: the kernel has no zram, or its module is not loaded"
    if not _may_administer():
        return "swapon needs CAP_SYS_ADMIN"
    if not SWAPS.exists():
        return f"no {SWAPS}: the kernel has no swap"
    active = SWAPS.read_bytes().split(b"\n")[1:-1]
    if active:
        return f"other swap is active: {active[0].split()[0].decode(errors='surrogateescape')}"
    if _ZSWAP.exists() and _ZSWAP.read_text().strip() == "Y":
        return f"{_ZSWAP} says Y: zswap would stand before the device"
    return ""


def _may_administer() -> bool:
    status = Path("/proc/self/status").read_bytes()
    return bool(int(status.partition(b"\nCapEff:")[2].split()[0], 16) & _CAP_SYS_ADMIN)


class Swap:
    """One device, or none yet. Whatever was done is remembered at once, for `off` to undo."""

    def __init__(self) -> None:
        self._device = ""
        self._on = False
        self._readahead = ""

    def on(self, length: int) -> None:
        """Swap to a new zram device of `length` bytes. Raises OSError."""
        number = int((ZRAM / "hot_add").read_text())
        self._device = f"zram{number}"
        Path("/sys/block", self._device, "disksize").write_text(str(length))
        with open(f"/dev/{self._device}", "r+b", buffering=0) as device:
            device.write(header(length))
        self._readahead = READAHEAD.read_text().strip()
        READAHEAD.write_text("0")
        self._call(_libc.swapon, 0)
        self._on = True

    def off(self) -> None:
        """Undo all of it: what is swapped out comes back into memory. Raises OSError."""
        if self._on:
            self._call(_libc.swapoff)
            self._on = False
        if self._readahead:
            READAHEAD.write_text(self._readahead)
            self._readahead = ""
        if self._device:
            Path("/sys/block", self._device, "reset").write_text("1")
            (ZRAM / "hot_remove").write_text(self._device.removeprefix("zram"))
            self._device = ""

    def _call(self, function: "ctypes._NamedFuncPointer", *flags: int) -> None:
        path = f"/dev/{self._device}"
        if function(path.encode(), *flags):
            number = ctypes.get_errno()
            raise OSError(number, f"{function.__name__}: {os.strerror(number)}", path)


def header(length: int) -> bytes:
    """The first page of a swap device of `length` bytes, as mkswap(8) writes it: one page long, little endian."""
    page = bytearray(_PAGE)
    struct.pack_into("=III", page, _INFO, 1, length // _PAGE - 1, 0)
    page[-len(_MAGIC) :] = _MAGIC
    return bytes(page)
