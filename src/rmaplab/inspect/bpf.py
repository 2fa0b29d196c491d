"""Reading kernel objects by address: a BPF program of eighteen instructions, loaded and run through bpf(2).

For `rmaplab.inspect.folio_state`. The program copies `size` bytes from each address in an array map to the same array
element (bpf_probe_read_kernel, which cannot fault and cannot write to the kernel); the array is mapped into this
process. Fenced in: nothing is attached to any hook, nothing stays loaded after `close`, only this process holds the
descriptors. Not a BPF library; a general loader (libbpf) brings an ELF object and a compiler for what is this little.

Needs root (CAP_BPF and CAP_PERFMON), Linux 5.14 for BPF_PROG_TYPE_SYSCALL, and no lockdown of kernel reads.
"""

import ctypes
import mmap
import os
import platform
import struct
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

_SYSCALL: Final = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "s390x": 351, "ppc64le": 361}
_MAP_CREATE, _PROG_LOAD, _TEST_RUN = 0, 5, 10
_ARRAY_MAP, _SYSCALL_PROGRAM = 2, 31
_MMAPABLE, _SLEEPABLE = 1 << 10, 1 << 4
_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_LOOKUP, _CURRENT_TASK, _PROBE_READ_KERNEL = 1, 35, 113

_PER_RUN: Final = 1024
"""Elements one run of the program goes through: the verifier walks every one of them, 14 instructions each."""


class BpfError(Exception):
    """BPF cannot be used here; the message holds what was tried and the kernel's reason."""


def _bpf(command: int, attr: bytes, what: str) -> tuple[int, bytes]:
    number = _SYSCALL.get(platform.machine())
    if number is None:
        raise BpfError(f"bpf(2): system call number unknown on {platform.machine()}")
    buffer = ctypes.create_string_buffer(attr.ljust(128, b"\0"), 128)
    result = _LIBC.syscall(ctypes.c_long(number), ctypes.c_int(command), buffer, ctypes.c_uint(128))
    if result < 0:
        raise BpfError(f"bpf(2), {what}: {os.strerror(ctypes.get_errno())}")
    return int(result), buffer.raw


def _insn(code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> bytes:
    return struct.pack("=BBhi", code, dst | src << 4, off, imm)


def _exit(value: int) -> bytes:
    return _insn(0xB7, 0, imm=value) + _insn(0x95)


def _element(map_fd: int) -> bytes:
    """r0 = &map[*(u32 *)(r10 - 4)], or the program ends."""
    return (
        _insn(0x18, 1, src=1, imm=map_fd)
        + _insn(0)
        + _insn(0xBF, 2, 10)
        + _insn(0x07, 2, imm=-4)
        + _insn(0x85, imm=_LOOKUP)
        + _insn(0x55, 0, off=2)
        + _exit(1)
    )


def _copy_program(map_fd: int, size: int) -> bytes:
    """for (r7 = ctx[0]; r7 < ctx[1] and at most _PER_RUN rounds; r7++) copy to map[r7] from the address in it.

    An element is {u64 address, size bytes}; the address is replaced by the copy's error, 0 if there was none.
    """
    body = (
        _insn(0x63, 10, 7, off=-4)
        + _element(map_fd)
        + _insn(0xBF, 6, 0)
        + _insn(0x79, 3, 6)
        + _insn(0xBF, 1, 6)
        + _insn(0x07, 1, imm=8)
        + _insn(0xB7, 2, imm=size)
        + _insn(0x85, imm=_PROBE_READ_KERNEL)
        + _insn(0x7B, 6, 0)
        + _insn(0x07, 7, imm=1)
        + _insn(0x07, 9, imm=1)
    )
    length = len(body) // 8
    head = _insn(0x79, 7, 1) + _insn(0x79, 8, 1, off=8) + _insn(0xB7, 9)
    tests = _insn(0x35, 9, off=length + 2, imm=_PER_RUN) + _insn(0x3D, 7, 8, off=length + 1)
    return head + tests + body + _insn(0x05, off=-(length + 3)) + _exit(0)


def _task_program(map_fd: int) -> bytes:
    """map[0].address = current."""
    return (
        _insn(0x62, 10, off=-4, imm=0)
        + _element(map_fd)
        + _insn(0xBF, 6, 0)
        + _insn(0x85, imm=_CURRENT_TASK)
        + _insn(0x7B, 6, 0)
        + _exit(0)
    )


class KernelReader:
    """Copies fixed-size objects out of the kernel, `capacity` at a time. A context manager; raises BpfError."""

    def __init__(self, size: int, capacity: int = 1 << 14) -> None:
        self.size, self._capacity = -(-size // 8) * 8, capacity
        self._fds: list[int] = []
        stride = 8 + self.size
        try:
            attr = struct.pack("=IIIII", _ARRAY_MAP, 4, stride, capacity, _MMAPABLE)
            self._map = self._own(_bpf(_MAP_CREATE, attr, "creating a mappable array")[0])
            self._copy = self._load(_copy_program(self._map, self.size), "the copy program")
            self._task = self._load(_task_program(self._map), "the task program")
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
                self._run(self._copy, struct.pack("=QQ", first, min(first + _PER_RUN, len(part))))
            good[low : low + len(part)] = self._slots[: len(part), 0] == 0
            out[low : low + len(part)] = self._slots[: len(part), 1:].view(np.uint8)
        return out, good

    def word(self, address: int) -> int:
        """The 8 bytes at `address`; 0 if unreadable."""
        data, good = self.read(np.array([address], np.uint64))
        return int(data[0, :8].view(np.uint64)[0]) if good[0] else 0

    def current_task(self) -> int:
        """Address of this thread's task_struct."""
        self._run(self._task, b"\0" * 16)
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

    def _load(self, code: bytes, what: str) -> int:
        instructions, license_text = ctypes.create_string_buffer(code, len(code)), ctypes.create_string_buffer(b"GPL")
        attr = struct.pack(
            "=IIQQIIQII",
            *(_SYSCALL_PROGRAM, len(code) // 8, ctypes.addressof(instructions), ctypes.addressof(license_text)),
            *(0, 0, 0, 0, _SLEEPABLE),
        )
        return self._own(_bpf(_PROG_LOAD, attr, f"loading {what}")[0])

    def _run(self, program: int, context: bytes) -> None:
        buffer: Any = ctypes.create_string_buffer(context, len(context))
        attr = struct.pack("=IIIIQQIIIIQ", program, 0, 0, 0, 0, 0, 0, 0, len(context), 0, ctypes.addressof(buffer))
        _, answer = _bpf(_TEST_RUN, attr, "running a program")
        if value := struct.unpack_from("=I", answer, 4)[0]:
            raise BpfError(f"bpf(2), running a program: it ended with {value}")
