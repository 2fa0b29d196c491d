"""bpf(2) and perf_event_open(2): maps made, programs loaded and attached, each a descriptor, each error with its reason.

For `rmaplab.inspect.bpf` and `rmaplab.watch`. A program that the verifier refuses is an error with the end of the
verifier's log. Needs CAP_BPF and CAP_PERFMON.
"""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

_CALLS: Final = {
    "x86_64": (321, 298),
    "aarch64": (280, 241),
    "riscv64": (280, 241),
    "s390x": (351, 331),
    "ppc64le": (361, 319),
}
"""Numbers of bpf(2) and perf_event_open(2)."""
_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_ATTR: Final = 128
_INFO: Final = 256

MAP_CREATE, LOOKUP, UPDATE, DELETE, NEXT_KEY, PROG_LOAD, TEST_RUN = 0, 1, 2, 3, 4, 5, 10
PROG_NEXT_ID, MAP_NEXT_ID, PROG_BY_ID, MAP_BY_ID, INFO, RAW_TRACEPOINT_OPEN = 11, 12, 13, 14, 15, 17
LINK_BY_ID, LINK_NEXT_ID = 30, 31

HASH, ARRAY, PERCPU_ARRAY, RINGBUF = 1, 2, 6, 27
PERF_EVENT_PROGRAM, RAW_TRACEPOINT_PROGRAM, SYSCALL_PROGRAM = 7, 17, 31
MMAPABLE, SLEEPABLE = 1 << 10, 1 << 4

_LOG: Final = 1 << 20
_LOG_SHOWN: Final = 6
_SOFTWARE: Final = 1
_FD_CLOEXEC: Final = 8
_ENABLE, _SET_BPF = 0x2400, 0x40042408


class BpfError(Exception):
    """BPF cannot be used here; the message holds what was tried and the kernel's reason."""

    def __init__(self, message: str, number: int = 0) -> None:
        super().__init__(message)
        self.number = number


def bpf(command: int, attr: bytes, what: str) -> tuple[int, bytes]:
    """One call: its result and the attributes as it left them. Raises BpfError with errno."""
    buffer = ctypes.create_string_buffer(attr.ljust(_ATTR, b"\0"), _ATTR)
    return call(command, buffer, what), buffer.raw


def call(command: int, attr: Any, what: str) -> int:
    """The same with attributes in memory of the caller's."""
    result = _LIBC.syscall(ctypes.c_long(_number(0)), ctypes.c_int(command), attr, ctypes.c_uint(_ATTR))
    if result < 0:
        number = ctypes.get_errno()
        raise BpfError(f"bpf(2), {what}: {os.strerror(number)}", number)
    return int(result)


def _number(which: int) -> int:
    numbers = _CALLS.get(platform.machine())
    if numbers is None:
        raise BpfError(f"bpf(2): system call number unknown on {platform.machine()}")
    return numbers[which]


def create_map(kind: int, key: int, value: int, entries: int, name: str, flags: int = 0) -> int:
    """A map: key and value sizes in bytes. Returns its descriptor."""
    attr = struct.pack("=IIIIIII16s", kind, key, value, entries, flags, 0, 0, name.encode())
    return bpf(MAP_CREATE, attr, f"creating the map {name}")[0]


def load_program(kind: int, code: bytes, name: str, flags: int = 0) -> int:
    """A program of the kind, under the GPL. Returns its descriptor; a refusal has the end of the verifier's log."""
    instructions, license_text = ctypes.create_string_buffer(code, len(code)), ctypes.create_string_buffer(b"GPL")

    def attr(level: int, size: int, log: int) -> bytes:
        parts = kind, len(code) // 8, ctypes.addressof(instructions), ctypes.addressof(license_text)
        return struct.pack("=IIQQIIQII16s", *parts, level, size, log, 0, flags, name.encode())

    try:
        return bpf(PROG_LOAD, attr(0, 0, 0), f"loading {name}")[0]
    except BpfError as refused:
        log = ctypes.create_string_buffer(_LOG)
        try:
            return bpf(PROG_LOAD, attr(1, _LOG, ctypes.addressof(log)), f"loading {name}")[0]
        except BpfError:
            said = [line for line in log.value.decode(errors="replace").splitlines() if line.strip()]
            end = " / ".join(said[-_LOG_SHOWN:])
            raise BpfError(f"{refused}{': ' + end if end else ''}", refused.number) from refused


def attach_raw_tracepoint(program: int, tracepoint: str) -> int:
    """Run a program at every hit of a tracepoint, until the descriptor returned is closed."""
    name = ctypes.create_string_buffer(tracepoint.encode())
    attr = struct.pack("=QI", ctypes.addressof(name), program)
    return bpf(RAW_TRACEPOINT_OPEN, attr, f"attaching to {tracepoint}")[0]


def attach_software_event(program: int, event: int, cpu: int, name: str) -> int:
    """Run a program at every such software event (perf_event_open(2)) on a CPU, until the descriptor is closed."""
    attr = struct.pack("=IIQQ", _SOFTWARE, _ATTR, event, 1).ljust(_ATTR, b"\0")
    buffer = ctypes.create_string_buffer(attr, _ATTR)
    arguments = (buffer, ctypes.c_int(-1), ctypes.c_int(cpu), ctypes.c_int(-1), ctypes.c_ulong(_FD_CLOEXEC))
    fd = int(_LIBC.syscall(ctypes.c_long(_number(1)), *arguments))
    if fd < 0:
        number = ctypes.get_errno()
        raise BpfError(f"perf_event_open(2), {name}: {os.strerror(number)}", number)
    for request, argument in ((_SET_BPF, program), (_ENABLE, 0)):
        if _LIBC.ioctl(ctypes.c_int(fd), ctypes.c_ulong(request), ctypes.c_ulong(argument)) < 0:
            number = ctypes.get_errno()
            os.close(fd)
            raise BpfError(f"perf event {name}, attaching: {os.strerror(number)}", number)
    return fd


def test_run(program: int, context: bytes) -> None:
    """Run a SYSCALL program once. Raises BpfError if it ends with anything but 0."""
    buffer = ctypes.create_string_buffer(context, len(context))
    attr = struct.pack("=IIIIQQIIIIQ", program, 0, 0, 0, 0, 0, 0, 0, len(context), 0, ctypes.addressof(buffer))
    _, answer = bpf(TEST_RUN, attr, "running a program")
    if value := struct.unpack_from("=I", answer, 4)[0]:
        raise BpfError(f"bpf(2), running a program: it ended with {value}")


class Loaded(NamedTuple):
    """Names by number of what is loaded on this machine, by anybody; `links`: the program's number by the link's."""

    programs: dict[int, str]
    maps: dict[int, str]
    links: dict[int, int]


def loaded() -> Loaded:
    """What is loaded now. Needs CAP_SYS_ADMIN. Raises BpfError."""
    return Loaded(
        {number: _name(info, 64) for number, info in _objects(PROG_NEXT_ID, PROG_BY_ID)},
        {number: _name(info, 24) for number, info in _objects(MAP_NEXT_ID, MAP_BY_ID)},
        {number: struct.unpack_from("=I", info, 8)[0] for number, info in _objects(LINK_NEXT_ID, LINK_BY_ID)},
    )


def _name(info: bytes, offset: int) -> str:
    return info[offset : offset + 16].partition(b"\0")[0].decode(errors="replace")


def _objects(next_id: int, by_id: int) -> Iterator[tuple[int, bytes]]:
    """Numbers, and what the kernel says of each (struct bpf_prog_info, bpf_map_info, bpf_link_info)."""
    for number in _ids(next_id):
        try:
            fd = bpf(by_id, struct.pack("=I", number), "asking what is loaded")[0]
        except BpfError as error:
            if error.number == errno.ENOENT:
                continue
            raise
        try:
            info = ctypes.create_string_buffer(_INFO)
            bpf(INFO, struct.pack("=IIQ", fd, _INFO, ctypes.addressof(info)), "asking what is loaded")
            yield number, info.raw
        finally:
            os.close(fd)


def _ids(command: int) -> Iterator[int]:
    found = 0
    while True:
        try:
            _, answer = bpf(command, struct.pack("=II", found, 0), "listing what is loaded")
        except BpfError as error:
            if error.number == errno.ENOENT:
                return
            raise
        found = struct.unpack_from("=I", answer, 4)[0]
        yield found
