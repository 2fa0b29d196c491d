"""Reading kernel objects by address: a BPF program of eighteen instructions, run through bpf(2).

For `rmaplab.inspect.folio_state`. The program copies `size` bytes from each address in an array map to the same array
element (bpf_probe_read_kernel, which cannot fault and cannot write to the kernel); the array is mapped into this
process. Fenced in: nothing is attached to any hook, nothing stays loaded after `close`, only this process holds the
descriptors.

Needs root (CAP_BPF and CAP_PERFMON), Linux 5.14 for BPF_PROG_TYPE_SYSCALL, and no lockdown of kernel reads.
"""

import mmap
import os
import struct
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from rmaplab.bpf import syscalls
from rmaplab.bpf.assembler import R0, R1, R2, R3, R6, R7, R8, R9, R10, Assembler
from rmaplab.bpf.syscalls import BpfError

__all__ = ["BpfError", "KernelReader"]

_PER_RUN: Final = 1024
"""Elements one run of the program goes through: the verifier walks every one of them, 14 instructions each."""


def _element(code: Assembler, map_fd: int) -> None:
    """r6 = &map[*(u32 *)(r10 - 4)], or the program ends with 1."""
    found = code.fresh("found")
    code.map(R1, map_fd)
    code.move(R2, R10)
    code.alu_number(R2, "+=", -4)
    code.call("map_lookup_elem")
    code.jump_number(R0, "!=", 0, found)
    code.exit(1)
    code.label(found)
    code.move(R6, R0)


def _copy_program(map_fd: int, size: int) -> bytes:
    """for (r7 = ctx[0]; r7 < ctx[1] and at most _PER_RUN rounds; r7++) copy to map[r7] from the address in it.

    An element is {u64 address, size bytes}; the address is replaced by the copy's error, 0 if there was none.
    """
    code = Assembler()
    code.load(8, R7, R1, 0)
    code.load(8, R8, R1, 8)
    code.number(R9, 0)
    code.label("next")
    code.jump_number(R9, ">=", _PER_RUN, "end")
    code.jump(R7, ">=", R8, "end")
    code.store(4, R10, -4, R7)
    _element(code, map_fd)
    code.load(8, R3, R6)
    code.move(R1, R6)
    code.alu_number(R1, "+=", 8)
    code.number(R2, size)
    code.call("probe_read_kernel")
    code.store(8, R6, 0, R0)
    code.alu_number(R7, "+=", 1)
    code.alu_number(R9, "+=", 1)
    code.goto("next")
    code.label("end")
    code.exit(0)
    return code.assembled()


def _task_program(map_fd: int) -> bytes:
    """map[0].address = current."""
    code = Assembler()
    code.store_number(4, R10, -4, 0)
    _element(code, map_fd)
    code.call("get_current_task")
    code.store(8, R6, 0, R0)
    code.exit(0)
    return code.assembled()


class KernelReader:
    """Copies fixed-size objects out of the kernel, `capacity` at a time. A context manager; raises BpfError."""

    def __init__(self, size: int, capacity: int = 1 << 14) -> None:
        self.size, self._capacity = -(-size // 8) * 8, capacity
        self._fds: list[int] = []
        stride = 8 + self.size
        try:
            self._map = self._own(syscalls.create_map(syscalls.ARRAY, 4, stride, capacity, "objects", syscalls.MMAPABLE))
            self._copy = self._load(_copy_program(self._map, self.size), "copy")
            self._task = self._load(_task_program(self._map), "task")
            self._memory = mmap.mmap(self._map, -(-stride * capacity // mmap.PAGESIZE) * mmap.PAGESIZE)
        except (BpfError, OSError) as error:
            self.close()
            raise BpfError(str(error)) from error
        words: NDArray[np.uint64] = np.frombuffer(self._memory, np.uint64)[: stride // 8 * capacity]
        self._slots: NDArray[np.uint64] = words.reshape(capacity, -1)

    def read(self, addresses: NDArray[np.uint64]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """The objects at `addresses`: uint8, shape (n, size), and whether each could be read: bool, shape (n,)."""
        out = np.empty((len(addresses), self.size), np.uint8)
        good = np.empty(len(addresses), np.bool_)
        for low in range(0, len(addresses), self._capacity):
            part = addresses[low : low + self._capacity]
            self._slots[: len(part), 0] = part
            for first in range(0, len(part), _PER_RUN):
                syscalls.test_run(self._copy, struct.pack("=QQ", first, min(first + _PER_RUN, len(part))))
            good[low : low + len(part)] = self._slots[: len(part), 0] == 0
            out[low : low + len(part)] = self._slots[: len(part), 1:].view(np.uint8)
        return out, good

    def word(self, address: int) -> int:
        """The 8 bytes at `address`; 0 if unreadable."""
        data, good = self.read(np.array([address], np.uint64))
        return int(data[0, :8].view(np.uint64)[0]) if good[0] else 0

    def current_task(self) -> int:
        """Address of this thread's task_struct."""
        syscalls.test_run(self._task, b"\0" * 16)
        return int(self._slots[0, 0])

    def close(self) -> None:
        """Unload the programs and the map. Idempotent."""
        while self._fds:
            os.close(self._fds.pop())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _own(self, fd: int) -> int:
        self._fds.append(fd)
        return fd

    def _load(self, code: bytes, name: str) -> int:
        return self._own(syscalls.load_program(syscalls.SYSCALL_PROGRAM, code, name, syscalls.SLEEPABLE))
