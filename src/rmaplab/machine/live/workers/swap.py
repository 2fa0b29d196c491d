"""A swap device that lives as long as a live machine: zram, with a header of our own, and swap-in without readahead.

For the warden, which takes everything back when its machine ends, and for the coordinator, which asks `why_not` first.
Standard library only. A machine must be alone on the system while it has one: every process feels it.
"""

import ctypes
import errno
import os
import struct
from contextlib import ExitStack, suppress
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
_LABEL = _INFO + 3 * 4 + 16
"""Where mkswap(8) puts a label, behind the UUID."""
_OURS = b"rmaplab "
"""What ours begins with; the readahead there was before follows, for whoever has to give it back."""
_TRIES = 5
"""Times swapoff(2) is tried: a signal to the process interrupts it, and memory may be short for a moment."""
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
        before = READAHEAD.read_text().strip()
        number = int((ZRAM / "hot_add").read_text())
        self._device = f"zram{number}"
        Path("/sys/block", self._device, "disksize").write_text(str(length))
        with open(f"/dev/{self._device}", "r+b", buffering=0) as device:
            device.write(header(length, before))
        self._readahead = before
        READAHEAD.write_text("0")
        self._call(_libc.swapon, 0)
        self._on = True

    def off(self) -> None:
        """Undo all of it: what is swapped out comes back into memory. Raises OSError; what follows is done even so."""
        with ExitStack() as undo:
            undo.callback(self._remove)
            undo.callback(self._read_ahead_again)
            undo.callback(self._swapoff)

    def sweep(self) -> None:
        """Take away devices of machines that are gone: who calls is alone, so no other machine has one. A machine leaves
        its own behind if its warden is killed too (a SIGKILL to all of them), or if swapoff failed. What cannot be taken
        away is other swap (`why_not`)."""
        for device, readahead in () if self._device else _left_behind():
            left = Swap()
            left._device, left._on, left._readahead = device, True, readahead
            with suppress(OSError):
                left.off()

    def _swapoff(self) -> None:
        for again in range(_TRIES - 1, -1, -1):
            if not self._on:
                return
            try:
                self._call(_libc.swapoff)
                self._on = False
            except OSError as error:
                if not again or error.errno not in (errno.EINTR, errno.ENOMEM):
                    raise

    def _read_ahead_again(self) -> None:
        if self._readahead:
            READAHEAD.write_text(self._readahead)
            self._readahead = ""

    def _remove(self) -> None:
        if self._device and not self._on:
            Path("/sys/block", self._device, "reset").write_text("1")
            (ZRAM / "hot_remove").write_text(self._device.removeprefix("zram"))
            self._device = ""

    def _call(self, function: "ctypes._NamedFuncPointer", *flags: int) -> None:
        path = f"/dev/{self._device}"
        if function(path.encode(), *flags):
            number = ctypes.get_errno()
            raise OSError(number, f"{function.__name__}: {os.strerror(number)}", path)


def _left_behind() -> list[tuple[str, str]]:
    """Active swap devices that a machine made: name, and the readahead there was before."""
    if not SWAPS.exists():
        return []
    paths = [Path(os.fsdecode(line.split()[0])) for line in SWAPS.read_bytes().split(b"\n")[1:-1]]
    labels = [(path.name, _label(path)) for path in paths if path.name.startswith("zram")]
    return [(name, label.removeprefix(_OURS).decode()) for name, label in labels if label.startswith(_OURS)]


def _label(device: Path) -> bytes:
    try:
        with open(device, "rb", buffering=0) as file:
            return file.read(_PAGE)[_LABEL:].split(b"\0")[0]
    except OSError:
        return b""


def header(length: int, readahead: str) -> bytes:
    """The first page of a swap device of `length` bytes, as mkswap(8) writes it, with our label; little endian."""
    page, label = bytearray(_PAGE), _OURS + readahead.encode()
    struct.pack_into("=III", page, _INFO, 1, length // _PAGE - 1, 0)
    page[_LABEL : _LABEL + len(label)] = label
    page[-len(_MAGIC) :] = _MAGIC
    return bytes(page)
