"""One process of a live machine: does one operation at a time on its own address space, as told over a socket.

Forked by the warden, which has it loaded; run as a script (`python -I -S worker.py FD`) by exec, of which its start is
a part: standard library only, few imports. Knows nothing of other processes, traces or addresses' meaning: the
coordinator chose them and checked the arguments, so an error here is the kernel's and goes back as its errno.

Between operations THP is disabled for its address space (PR_SET_THP_DISABLE), so that khugepaged leaves the
world standing still. All workers run on one CPU and drain its LRU batches after every operation: a small folio
waiting in a batch carries one more reference, and whether a COW fault reuses it would be chance. The fault itself
drains only for folios that are not on the LRU, but one that waits to be activated still is (since "mm: revert
'mm/gup: clear the LRU flag of a page before adding to LRU batch'" in 6.17).
"""

import ctypes
import errno
import fcntl
import mmap
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from wire import ANSWER, HELLO, REQUEST, Op, receive_with_fd  # type: ignore[import-not-found]

PAGE = 4096
PR_SET_THP_DISABLE = 41
MADV_COLD = 20
IO_URING_SETUP, IO_URING_REGISTER = 425, 427
REGISTER_BUFFERS, UNREGISTER_BUFFERS = 0, 1
IO_URING_PARAMS = 120
"""Bytes of struct io_uring_params."""
F_SETPIPE_SZ = 1031
IOV_MAX = 1024
CLONE_VM, CLONE_VFORK = 0x100, 0x4000
MBIND, MPOL_DEFAULT = 237, 0
PROCESS_MADVISE = 440
USERFAULTFD = 323
UFFDIO_API, UFFDIO_REGISTER, UFFDIO_WRITEPROTECT = 0xC018AA3F, 0xC020AA00, 0xC018AA06
UFFD_API, UFFD_FEATURE_WP_ASYNC, UFFDIO_REGISTER_MODE_WP = 0xAA, 1 << 15, 2
PINS_A_PIPE = 256
"""1 MiB, the default of /proc/sys/fs/pipe-max-size, which only CAP_SYS_RESOURCE exceeds."""

_libc = ctypes.CDLL(None, use_errno=True)
_P, _L = ctypes.c_void_p, ctypes.c_long
_syscall = _libc.syscall
_syscall.restype = _L
_libc.mmap.restype = _libc.mremap.restype = _P
_libc.mmap.argtypes = [_P, _L, ctypes.c_int, ctypes.c_int, ctypes.c_int, _L]
_libc.munmap.argtypes = _libc.mlock.argtypes = _libc.munlock.argtypes = [_P, _L]
_libc.mremap.argtypes = [_P, _L, _L, ctypes.c_int, _P]
_libc.mprotect.argtypes = _libc.madvise.argtypes = [_P, _L, ctypes.c_int]
_libc.prctl.argtypes = [ctypes.c_int, _L, _L, _L, _L]
_libc.vmsplice.argtypes = [ctypes.c_int, _P, _L, ctypes.c_uint]
_libc.vmsplice.restype = _L
_libc.process_vm_readv.argtypes = [ctypes.c_int, _P, ctypes.c_ulong, _P, ctypes.c_ulong, ctypes.c_ulong]
_libc.process_vm_readv.restype = _L

Result = tuple[int, float, bytes]


class _Iovec(ctypes.Structure):
    _fields_ = (("base", _P), ("length", _L))


def _check(result: int | None) -> int:
    if result is None or result == -1 or result == ctypes.c_size_t(-1).value:
        raise OSError(ctypes.get_errno(), "")
    return result


def _bytes_at(address: int, length: int) -> memoryview:
    return memoryview((ctypes.c_ubyte * length).from_address(address)).cast("B")


class Worker:
    """The operations; each takes six integers and perhaps a descriptor, and returns value, seconds, payload."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
        self.scratch = _check(_libc.mmap(None, PAGE, 3, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0))
        self.pins: dict[int, list[int]] = {}
        self.rings: dict[int, int] = {}
        self.uffd = -1

    def mmap(self, address: int, length: int, prot: int, flags: int, advice: int, offset: int, fd: int) -> Result:
        """`advice` (0 none) follows the mapping at once, before anything can fault."""
        start = time.perf_counter()
        got = _check(_libc.mmap(address, length, prot, flags, fd, offset))
        if advice:
            _check(_libc.madvise(address, length, advice))
        return got, time.perf_counter() - start, b""

    def munmap(self, address: int, length: int, *_: int) -> Result:
        return _check(_libc.munmap(address, length)), 0.0, b""

    def mremap(self, address: int, old: int, new: int, flags: int, target: int, *_: int) -> Result:
        return _check(_libc.mremap(address, old, new, flags, target)), 0.0, b""

    def mprotect(self, address: int, length: int, prot: int, *_: int) -> Result:
        return _check(_libc.mprotect(address, length, prot)), 0.0, b""

    def madvise(self, address: int, length: int, advice: int, *_: int) -> Result:
        start = time.perf_counter()
        _check(_libc.madvise(address, length, advice))
        return 0, time.perf_counter() - start, b""

    def mlock(self, address: int, length: int, *_: int) -> Result:
        start = time.perf_counter()
        _check(_libc.mlock(address, length))
        return length // PAGE, time.perf_counter() - start, b""

    def munlock(self, address: int, length: int, *_: int) -> Result:
        return _check(_libc.munlock(address, length)), 0.0, b""

    def process_madvise(self, address: int, length: int, advice: int, *args: int) -> Result:
        """The descriptor is a process: the advice is for its memory."""
        memory = ctypes.byref(_Iovec(address, length))
        return _check(_syscall(PROCESS_MADVISE, args[-1], memory, 1, advice, 0)), 0.0, b""

    def uffd_wp(self, address: int, length: int, protected: int, *_: int) -> Result:
        """Nobody reads the descriptor: a write clears the protection of its page and goes on."""
        if self.uffd < 0:
            self.uffd = _userfaultfd()
        fcntl.ioctl(self.uffd, UFFDIO_REGISTER, _words(address, length, UFFDIO_REGISTER_MODE_WP, 0))
        fcntl.ioctl(self.uffd, UFFDIO_WRITEPROTECT, _words(address, length, protected))
        return length // PAGE, 0.0, b""

    def thp_disable(self, disabled: int, *_: int) -> Result:
        """Until told otherwise, and then as ever between operations."""
        return _check(_libc.prctl(PR_SET_THP_DISABLE, disabled, 0, 0, 0)), 0.0, b""

    def read(self, address: int, length: int, *_: int) -> Result:
        pages = _bytes_at(address, length)[::PAGE]
        start = time.perf_counter()
        got = pages.tobytes()
        return len(got), time.perf_counter() - start, got

    def write(self, address: int, length: int, value: int, *_: int) -> Result:
        """A strided slice store: one byte per page, ascending, at C speed."""
        pages = _bytes_at(address, length)[::PAGE]
        new = bytes([value]) * len(pages)
        start = time.perf_counter()
        pages[:] = new
        return len(new), time.perf_counter() - start, b""

    def peek(self, address: int, length: int, *_: int) -> Result:
        """process_vm_readv() of this very process takes the same way as from another: GUP on the MM, page by page, since
        every page is a range of its own."""
        got = bytearray(length // PAGE)
        into = ctypes.addressof(ctypes.c_char.from_buffer(got))
        start = time.perf_counter()
        for first in range(0, len(got), IOV_MAX):
            count = min(IOV_MAX, len(got) - first)
            pages = (_Iovec * count)(*(_Iovec(address + (first + page) * PAGE, 1) for page in range(count)))
            _check(_libc.process_vm_readv(os.getpid(), ctypes.byref(_Iovec(into + first, count)), 1, pages, count, 0))
        return len(got), time.perf_counter() - start, bytes(got)

    def poke(self, address: int, length: int, value: int, *_: int) -> Result:
        """A write to the memory file is GUP with FOLL_FORCE, whoever does it."""
        memory = os.open("/proc/self/mem", os.O_RDWR | os.O_CLOEXEC)
        start = time.perf_counter()
        try:
            for page in range(address, address + length, PAGE):
                os.pwrite(memory, bytes([value]), page)
        finally:
            os.close(memory)
        return length // PAGE, time.perf_counter() - start, b""

    def direct(self, address: int, length: int, *args: int) -> Result:
        """The descriptor is a file opened with O_DIRECT: the kernel pins the pages and the device writes them."""
        start = time.perf_counter()
        if os.preadv(args[-1], [_bytes_at(address, length)], 0) < length:
            raise OSError(errno.EIO, "")
        return length // PAGE, time.perf_counter() - start, b""

    def migrate(self, address: int, length: int, flags: int, *_: int) -> Result:
        """mbind() to the default policy, with no nodes: every page counts as misplaced, and moves where the default
        policy would allocate it."""
        policy = (MPOL_DEFAULT, None, _L(0), flags)
        return _check(_syscall(MBIND, _P(address), _L(length), *policy)), 0.0, b""

    def fork(self, *args: int) -> Result:
        """The descriptor is the child's control socket."""
        fd = args[-1]
        start = time.perf_counter()
        pid = os.fork()
        seconds = time.perf_counter() - start
        if pid:
            return pid, seconds, b""
        self.channel.close()
        self.channel = socket.socket(fileno=fd)
        for fds in (*self.pins.values(), [*self.rings.values()]):
            _close(fds)
        self.pins.clear()
        self.rings.clear()
        if self.uffd >= 0:
            os.close(self.uffd)
            self.uffd = -1
        self.answer(0, HELLO, 0.0, b"")
        return -1, 0.0, b""

    def vfork(self, *args: int) -> Result:
        """Answers once the child has called exec or ended."""
        return _tenant(args[-1], CLONE_VM | CLONE_VFORK), 0.0, b""

    def clone_vm(self, *args: int) -> Result:
        return _tenant(args[-1], CLONE_VM), 0.0, b""

    def exec(self, *_: int) -> Result:
        self._unregister()
        fd = self.channel.fileno()
        os.set_inheritable(fd, True)
        os.execv(sys.executable, [sys.executable, "-I", "-S", os.path.abspath(__file__), str(fd)])

    def exit(self, *_: int) -> Result:
        self._unregister()
        os._exit(0)

    def _unregister(self) -> None:
        """Closing a ring gives its pins back some time later; unregistering does it now."""
        for ring in self.rings.values():
            _check(_syscall(IO_URING_REGISTER, ring, UNREGISTER_BUFFERS, None, 0))

    def pin_longterm(self, address: int, length: int, key: int, *_: int) -> Result:
        """A registered io_uring buffer: pin_user_pages() with FOLL_WRITE and FOLL_LONGTERM."""
        ring = _check(_syscall(IO_URING_SETUP, 1, ctypes.create_string_buffer(IO_URING_PARAMS)))
        try:
            _check(_syscall(IO_URING_REGISTER, ring, REGISTER_BUFFERS, ctypes.byref(_Iovec(address, length)), 1))
        except OSError:
            os.close(ring)
            raise
        self.rings[key] = ring
        return length // PAGE, 0.0, b""

    def pin(self, address: int, length: int, key: int, *_: int) -> Result:
        """vmsplice into pipes nobody reads: each page holds one more folio reference while they are open."""
        pipes: list[int] = []
        try:
            for at in range(address, address + length, PINS_A_PIPE * PAGE):
                pipes.append(_splice(at, min(PINS_A_PIPE * PAGE, address + length - at)))
        except OSError:
            _close(pipes)
            raise
        self.pins[key] = pipes
        return length // PAGE, 0.0, b""

    def unpin(self, key: int, *_: int) -> Result:
        if key in self.rings:
            ring = self.rings.pop(key)
            _check(_syscall(IO_URING_REGISTER, ring, UNREGISTER_BUFFERS, None, 0))
            os.close(ring)
        else:
            _close(self.pins.pop(key))
        return 0, 0.0, b""

    def die(self, *_: int) -> Result:
        """For tests: end as a crashing process does."""
        os.kill(os.getpid(), signal.SIGKILL)
        return 0, 0.0, b""

    def drain(self) -> None:
        """Empty this CPU's LRU batches: MADV_COLD begins with lru_add_drain(), here on a page never touched."""
        _libc.madvise(self.scratch, PAGE, MADV_COLD)

    def answer(self, error: int, value: int, seconds: float, payload: bytes) -> None:
        self.channel.sendall(ANSWER.pack(error, value, seconds, len(payload)) + payload)

    def serve(self) -> None:
        """Until the other side is gone. Bit 31 of the operation asks for THP while it runs."""
        methods: dict[int, Callable[..., Result]] = {op: getattr(self, op.name.lower()) for op in Op}
        while True:
            try:
                request, fd = receive_with_fd(self.channel, REQUEST.size)
            except EOFError:
                return
            op, *args = REQUEST.unpack(request)
            thp, op = bool(op >> 31), op & 0x7FFF_FFFF
            self.drain()  # what a process that is gone left there: it unlocked its pages at its end
            try:
                if thp:
                    _libc.prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0)
                value, seconds, payload = methods[op](*args, fd)
                error = 0
            except OSError as failed:
                error, value, seconds, payload = failed.errno or errno.EIO, -1, 0.0, b""
            finally:
                if thp:
                    _libc.prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)
            if op == Op.FORK and value == -1 and not error:
                continue
            self.drain()
            if fd >= 0:
                os.close(fd)
            self.answer(error, value, seconds, payload)


def _words(*words: int) -> bytes:
    return struct.pack(f"={len(words)}Q", *words)


def _userfaultfd() -> int:
    uffd = _check(_syscall(USERFAULTFD, os.O_CLOEXEC))
    try:
        fcntl.ioctl(uffd, UFFDIO_API, _words(UFFD_API, UFFD_FEATURE_WP_ASYNC, 0))
    except OSError:
        os.close(uffd)
        raise
    return uffd


def _tenant(fd: int, flags: int) -> int:
    """The pid of a process in this address space that serves `fd` (tenant.c), or an OSError."""
    built = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "_tenant.abi3.so")
    library = ctypes.CDLL(built, use_errno=True)
    library.tenant_prepare(os.fsencode(sys.executable), os.fsencode(os.path.abspath(__file__)))
    library.tenant_start.argtypes, library.tenant_start.restype = [ctypes.c_int, _L], _L
    return _check(library.tenant_start(fd, flags))


def _close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)


def _splice(address: int, length: int) -> int:
    """A pipe's read end, which alone keeps the pages in it; it holds all of them or an OSError is raised."""
    end, pipe = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        fcntl.fcntl(pipe, F_SETPIPE_SZ, length)
        done = 0
        while done < length:
            done += _check(_libc.vmsplice(pipe, ctypes.byref(_Iovec(address + done, length - done)), 1, 0))
    except OSError:
        os.close(end)
        raise
    finally:
        os.close(pipe)
    return end


def main(fd: int) -> None:
    """Serve the control socket `fd`. Children are reaped by the kernel: SIGCHLD is ignored."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    _check(_libc.prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0))
    worker = Worker(socket.socket(fileno=fd))
    os.set_inheritable(worker.channel.fileno(), False)
    worker.answer(0, HELLO, 0.0, b"")
    worker.serve()


if __name__ == "__main__":
    main(int(sys.argv[1]))
