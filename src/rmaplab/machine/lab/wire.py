"""Calls and answers between the host and a guest, over a byte stream.

For both sides of the lab machine. Messages are pickles: both sides run the same code from the same files, and the guest
holds nothing but what this host booted.
"""

import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

_LENGTH: Final = struct.Struct("=Q")
PORT: Final = "machine"
"""The virtio port's name."""

MACHINE: Final = 0
"""The number of the machine itself; processes, files and pins get the following ones."""


@dataclass(frozen=True, slots=True)
class Handle:
    """A process, file or pin that stays in the guest; `facts` are what of it never changes."""

    number: int
    what: Literal["process", "file", "pin"]
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """`name` of object `number`: a method with its arguments, or with `read` an attribute."""

    number: int
    name: str
    arguments: tuple[Any, ...] = ()
    named: dict[str, Any] | None = None
    read: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """The call raised: an error of the protocol with what it was made of, or anything else as text."""

    kind: Literal["bad", "missing", "machine"]
    words: tuple[str, ...]


def pack(message: object) -> bytes:
    """The bytes of a message."""
    data = pickle.dumps(message)
    return _LENGTH.pack(len(data)) + data


def unpack(read: Callable[[int], bytes]) -> Any:
    """The next message; `read` gives exactly as many bytes as it is asked for, or raises."""
    (length,) = _LENGTH.unpack(read(_LENGTH.size))
    return pickle.loads(read(length))
