"""Which function of a kernel an address lies in, and how much text it has: from the System.map beside it.

For `rmaplab kernel bench`. Debian's images come without one.
"""

from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_KERNEL_HALF: Final = 1 << 63
PROGRAM: Final = "the program"
"""What runs in user space."""


@dataclass(frozen=True, slots=True)
class Symbols:
    """Symbols of text in the order of their `addresses`; `text_bytes`: from _stext to _etext, padding included."""

    addresses: tuple[int, ...]
    names: tuple[str, ...]
    text_bytes: int

    def function(self, address: int) -> str:
        """The name of what `address` lies in. O(log symbols)."""
        if address < _KERNEL_HALF:
            return PROGRAM
        at = bisect_right(self.addresses, address) - 1
        return self.names[at] if at >= 0 else f"{address:x}"


def beside(kernel: Path) -> Symbols | None:
    """Those of a kernel file in its directory; None where that has no System.map, or one without _stext and _etext."""
    system_map = kernel.parent / "System.map"
    if not system_map.is_file():
        return None
    lines = [words for line in system_map.read_text().splitlines() if len(words := line.split()) == 3]
    marks = {name: int(address, 16) for address, _, name in lines if name in ("_stext", "_etext")}
    if len(marks) < 2:
        return None
    text = sorted((int(address, 16), name) for address, kind, name in lines if kind in "tTwW")
    addresses, names = zip(*text, strict=True)
    return Symbols(addresses, names, marks["_etext"] - marks["_stext"])
