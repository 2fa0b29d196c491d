"""Offsets of struct fields, and values of enums, from the running kernel's type information (BTF).

For what reads kernel objects by BPF and must not hard-code where a field lies. Not a general BTF
library: no functions, no variables, no split BTF. Format: Documentation/bpf/btf.rst of the kernel.
"""

import struct
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Self

from rmaplab.system.reading import content

VMLINUX: Final = Path("/sys/kernel/btf/vmlinux")

_MAGIC: Final = 0xEB9F
_INT, _PTR, _ARRAY, _STRUCT, _UNION, _ENUM, _ENUM64 = 1, 2, 3, 4, 5, 6, 19
_MODIFIERS: Final = frozenset({8, 9, 10, 11, 18})
"""typedef, volatile, const, restrict, type tag: the type they name has the size."""
_FIXED: Final = {1: 1, 3: 3, 14: 1, 17: 1}
_PER_ITEM: Final = {4: 3, 5: 3, 6: 2, 13: 2, 15: 3, 19: 3}
_STEP: Final = [3 + _FIXED.get(kind, 0) for kind in range(32)]
_GROW: Final = [_PER_ITEM.get(kind, 0) for kind in range(32)]
_DEEPEST: Final = 32
"""Modifiers on one type: as many as the kernel's own verifier of BTF goes through (MAX_RESOLVE_DEPTH)."""


class BtfError(Exception):
    """No BTF here, not BTF, or without the type or field asked for; the message says which."""


@dataclass(frozen=True, slots=True)
class Field:
    """Where a field lies in its struct: byte offset and size in bytes."""

    offset: int
    size: int


class Btf:
    """The types of one BTF blob. Finding a type walks them all once: about 30 ms for a vmlinux of 5 MB."""

    def __init__(self, blob: bytes, name: str) -> None:
        if len(blob) < 24 or struct.unpack_from("=H", blob)[0] != _MAGIC:
            raise BtfError(f"{name}: not BTF of this machine's byte order")
        header, types, size, strings, strings_size = struct.unpack_from("=IIIII", blob, 4)
        if header + max(types + size, strings + strings_size) > len(blob):
            raise BtfError(f"{name}: truncated")
        if size % 4:
            raise BtfError(f"{name}: {size} bytes of types: must be whole words")
        self._name = name
        self._fields: dict[tuple[str, str], Field] = {}
        self._types = blob[header + types : header + types + size]
        self._words = memoryview(self._types).cast("I")
        self._strings = blob[header + strings : header + strings + strings_size]

    @classmethod
    def running(cls) -> Self:
        """The running kernel's. Raises BtfError where CONFIG_DEBUG_INFO_BTF is off or the file is hidden."""
        try:
            return cls(content(VMLINUX), str(VMLINUX))
        except OSError as error:
            raise BtfError(f"{VMLINUX}: {error.strerror}") from error

    def field(self, type_name: str, path: str) -> Field:
        """Offset and size of `path` ("i_pages.xa_head") in the struct `type_name`; anonymous members are seen through."""
        if known := self._fields.get((type_name, path)):
            return known
        with self._as_it_should_be():
            found = self._fields[type_name, path] = self._field(type_name, path)
        return found

    def _field(self, type_name: str, path: str) -> Field:
        where, offset = self._named(type_name), 0
        kind_id = -1
        for step in path.split("."):
            member = self._member(where, step, set())
            if member is None:
                raise BtfError(f"{self._name}: struct {type_name} has no field {path}")
            kind_id, shift = member
            offset += shift
            where = self._struct_at(kind_id)
        return Field(offset, self._size(kind_id))

    def size(self, type_name: str) -> int:
        """sizeof(struct `type_name`)."""
        with self._as_it_should_be():
            return self._words[self._named(type_name) + 2]

    def enumerator(self, type_name: str, name: str) -> int:
        """The value of `name` in `enum type_name`; those of 64 bits are not known here."""
        with self._as_it_should_be():
            where = self._named(type_name, (_ENUM,))
            for item in range(where + 3, where + 3 + 2 * (self._words[where + 1] & 0xFFFF), 2):
                if self._string(self._words[item]) == name:
                    return self._words[item + 1]
        raise BtfError(f"{self._name}: enum {type_name} has no {name}")

    @contextmanager
    def _as_it_should_be(self) -> Iterator[None]:
        """A number that leads out of the blob (or round in it, or to what is no text) is one clear error."""
        try:
            yield
        except (IndexError, ValueError, RecursionError) as error:
            raise BtfError(f"{self._name}: damaged: {error}") from error

    @cached_property
    def _at(self) -> list[int]:
        """Word position of every type; index 0 is void."""
        words, at, where, end = self._words, [0], 0, len(self._words)
        add, step, grow = at.append, _STEP, _GROW
        while where < end:
            add(where)
            info = words[where + 1]
            kind = info >> 24 & 31
            where += step[kind] + grow[kind] * (info & 0xFFFF)
        return at

    def _named(self, name: str, kinds: tuple[int, ...] = (_STRUCT, _UNION)) -> int:
        wanted = self._strings.find(b"\0" + name.encode() + b"\0") + 1
        pattern, byte = struct.pack("=I", wanted), 0
        while wanted and (byte := self._types.find(pattern, byte)) >= 0:
            where, odd = divmod(byte, 4)
            if not odd and self._is_type(where) and self._words[where + 1] >> 24 & 31 in kinds:
                return where
            byte += 1
        raise BtfError(f"{self._name}: no {'enum' if kinds == (_ENUM,) else 'struct'} {name}")

    def _is_type(self, where: int) -> bool:
        """Whether a type begins at this word, and not a member that looks like one."""
        place = bisect_left(self._at, where, 1)
        return place < len(self._at) and self._at[place] == where

    def _struct_at(self, type_id: int) -> int:
        where = self._at[type_id]
        for _ in range(_DEEPEST):
            if not type_id or self._words[where + 1] >> 24 & 31 not in _MODIFIERS:
                return where
            type_id = self._words[where + 2]
            where = self._at[type_id]
        raise ValueError(f"type {type_id}: more than {_DEEPEST} modifiers")

    def _member(self, where: int, name: str, seen: set[int]) -> tuple[int, int] | None:
        """Type id and byte offset of member `name`, also inside anonymous members; `seen`: structs that lack it."""
        if where in seen:
            return None
        seen.add(where)
        info = self._words[where + 1]
        if info >> 24 & 31 not in (_STRUCT, _UNION):
            return None
        bit_mask = 0xFFFFFF if info >> 31 else 0xFFFFFFFF
        for item in range(where + 3, where + 3 + 3 * (info & 0xFFFF), 3):
            name_at, type_id, bits = self._words[item : item + 3]
            offset = (bits & bit_mask) >> 3
            if name_at and self._string(name_at) == name:
                return type_id, offset
            if not name_at and (found := self._member(self._struct_at(type_id), name, seen)):
                return found[0], offset + found[1]
        return None

    def _size(self, type_id: int) -> int:
        where = self._struct_at(type_id)
        kind = self._words[where + 1] >> 24 & 31
        if kind == _PTR:
            return struct.calcsize("P")
        if kind == _ARRAY:
            return self._size(self._words[where + 3]) * self._words[where + 5]
        if kind in (_INT, _STRUCT, _UNION, _ENUM, _ENUM64):
            return self._words[where + 2]
        raise BtfError(f"{self._name}: a field of kind {kind} has no size")

    def _string(self, at: int) -> str:
        return self._strings[at : self._strings.index(b"\0", at)].decode()
