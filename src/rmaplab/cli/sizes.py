"""Sizes as users type them: 4096, 64K, 16M, 1G."""

import re
from typing import Final

from rmaplab.errors import RmaplabError

_UNITS: Final = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}


def parse_size(text: str) -> int:
    """Bytes; raises RmaplabError naming the text and the rule."""
    match = re.fullmatch(r"(\d+)([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if match is None:
        raise RmaplabError(f"size: {text!r}: must be a number of bytes, or one with K, M, G or T")
    return int(match[1]) << _UNITS[match[2].upper()]
