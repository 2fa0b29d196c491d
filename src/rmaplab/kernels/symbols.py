"""Which function of a kernel an address lies in, and how much text it has: from /proc/kallsyms of its guest.

For `rmaplab kernel bench`.
"""

from bisect import bisect_right
from dataclasses import dataclass
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


def parse(kallsyms: str) -> Symbols | None:
    """What a guest's /proc/kallsyms says; None if that has no _stext and _etext, or hides addresses."""
    lines = [words for line in kallsyms.splitlines() if len(words := line.split()) == 3]  # a module's has a fourth
    text = sorted((int(address, 16), name) for address, kind, name in lines if kind in "tTwW")
    marks = {name: address for address, name in text if name in ("_stext", "_etext")}
    if len(marks) < 2 or not all(marks.values()):
        return None
    addresses, names = zip(*text, strict=True)
    return Symbols(addresses, names, marks["_etext"] - marks["_stext"])
