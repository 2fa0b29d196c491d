"""Maps as Python reads them: hash tables, one array shared with the programs, and a ring of records.

For `rmaplab.watch`. Each owns its descriptor until `close`. Keys and values are bytes of fixed size, except where said.
"""

import ctypes
import errno
import mmap
import os
import select
import struct
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from rmaplab.bpf import syscalls
from rmaplab.bpf.syscalls import BpfError

_LOOKUP_BATCH: Final = 24
_BATCH: Final = 4096
_RECORD_HEAD: Final = 8
_BUSY: Final = np.uint32(1 << 31)


class _Owned:
    """A descriptor that is closed once."""

    def __init__(self, descriptor: int) -> None:
        self.fd = descriptor

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Table(_Owned):
    """A hash map."""

    def __init__(self, kind: int, key: int, value: int, entries: int, name: str) -> None:
        super().__init__(syscalls.create_map(kind, key, value, entries, name))
        self._key, self._value = key, value
        self.entries = entries

    def get(self, key: bytes) -> bytes | None:
        """The value, None if there is none."""
        value = ctypes.create_string_buffer(self._value)
        try:
            self._call(syscalls.LOOKUP, key, value)
        except BpfError as error:
            if error.number == errno.ENOENT:
                return None
            raise
        return value.raw

    def set(self, key: bytes, value: bytes) -> None:
        self._call(syscalls.UPDATE, key, ctypes.create_string_buffer(value, self._value))

    def drop(self, key: bytes) -> bool:
        """Delete; False if it was not there."""
        try:
            self._call(syscalls.DELETE, key, None)
        except BpfError as error:
            if error.number == errno.ENOENT:
                return False
            raise
        return True

    def everything(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """All of a hash map, in some order: keys, shape (n, key size), values, shape (n, value size), uint8.

        O(entries) in the kernel, few calls. What is added meanwhile may be missing.
        """
        keys, values = list[bytes](), list[bytes]()
        size = min(self.entries, _BATCH)
        key, value = ctypes.create_string_buffer(self._key * size), ctypes.create_string_buffer(self._value * size)
        before, after = ctypes.create_string_buffer(8), ctypes.create_string_buffer(8)
        first, more = True, True
        while more:
            places = 0 if first else ctypes.addressof(before), *map(ctypes.addressof, (after, key, value))
            attr = ctypes.create_string_buffer(struct.pack("=QQQQIIQQ", *places, size, self.fd, 0, 0).ljust(128, b"\0"))
            try:
                syscalls.call(_LOOKUP_BATCH, attr, "reading a map")
            except BpfError as error:
                if error.number == errno.ENOSPC and size < self.entries:
                    size = min(self.entries, size * 4)
                    key = ctypes.create_string_buffer(self._key * size)
                    value = ctypes.create_string_buffer(self._value * size)
                    continue
                if error.number != errno.ENOENT:
                    raise
                more = False
            found = struct.unpack_from("=I", attr.raw, 32)[0]
            keys.append(key.raw[: found * self._key])
            values.append(value.raw[: found * self._value])
            before, after, first = after, before, False
        return self._rows(keys, self._key), self._rows(values, self._value)

    @staticmethod
    def _rows(parts: list[bytes], width: int) -> NDArray[np.uint8]:
        return np.frombuffer(b"".join(parts), np.uint8).reshape(-1, width)

    def _call(self, command: int, key: bytes, value: ctypes.Array[ctypes.c_char] | None) -> None:
        if len(key) != self._key:
            raise ValueError(f"key of {len(key)} bytes: must have {self._key}")
        place = ctypes.create_string_buffer(key, self._key)
        address = 0 if value is None else ctypes.addressof(value)
        attr = struct.pack("=IIQQQ", self.fd, 0, ctypes.addressof(place), address, 0)
        syscalls.bpf(command, attr, "using a map")


class Words(_Owned):
    """64-bit words that programs and this process see at once: an array map of one element. `words`: uint64."""

    def __init__(self, count: int, name: str) -> None:
        super().__init__(syscalls.create_map(syscalls.ARRAY, 4, 8 * count, 1, name, syscalls.MMAPABLE))
        self._memory = mmap.mmap(self.fd, -(-8 * count // mmap.PAGESIZE) * mmap.PAGESIZE)
        self.words: NDArray[np.uint64] = np.frombuffer(self._memory, np.uint64)[:count]

    def close(self) -> None:
        """Also the memory: a mapping keeps the map alive. No array made of `words` may be in use."""
        self.words = np.zeros(0, np.uint64)
        self._memory.close()
        super().close()


class Ring(_Owned):
    """Records from programs, oldest first (BPF_MAP_TYPE_RINGBUF). `size`: bytes, a power of two of pages."""

    def __init__(self, size: int, name: str) -> None:
        super().__init__(syscalls.create_map(syscalls.RINGBUF, 0, 0, size, name))
        page = mmap.PAGESIZE
        self._size = size
        self._mine = mmap.mmap(self.fd, page)
        self._theirs = mmap.mmap(self.fd, page + 2 * size, prot=mmap.PROT_READ, offset=page)
        self._consumed = np.frombuffer(self._mine, np.uint64)[:1]
        self._produced = np.frombuffer(self._theirs, np.uint64)[:1]

    def wait(self, seconds: float) -> None:
        """Until a record comes that wakes, or the time is over."""
        select.select([self.fd], [], [], seconds)

    def close(self) -> None:
        self._consumed = self._produced = np.zeros(1, np.uint64)
        self._mine.close()
        self._theirs.close()
        super().close()

    def take(self, size: int) -> NDArray[np.uint8]:
        """All records that are complete, each of `size` bytes, as all must be: uint8, shape (n, size)."""
        stride = -(-(size + _RECORD_HEAD) // 8) * 8
        at, end = int(self._consumed[0]), int(self._produced[0])
        count = (end - at) // stride
        place = mmap.PAGESIZE + (at & self._size - 1)
        raw = np.frombuffer(self._theirs, np.uint8, count * stride, place).reshape(count, stride)
        lengths = raw[:, :4].copy().view(np.uint32)[:, 0]
        ready = int(np.argmax(lengths & _BUSY != 0)) if np.any(lengths & _BUSY) else count
        if np.any(lengths[:ready] != size):
            raise BpfError(f"ring: a record of other than {size} bytes")
        found = raw[:ready, _RECORD_HEAD : _RECORD_HEAD + size].copy()
        del raw
        self._consumed[0] = at + ready * stride
        return found
