"""Processes that obey (`tenant.c`): memory, names and states whose truth a test knows because it asked for them."""

import os
import shutil
import signal
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from places import HERE, Place

PAGE: Final = 4096
PMD: Final = 2 << 20
READ, WRITE, EXECUTE = 1, 2, 4
SHARED, PRIVATE, FIXED, ANONYMOUS, HUGETLB = 1, 2, 0x10, 0x20, 0x40000
HUGEPAGE, NOHUGEPAGE, DONTNEED, PAGEOUT, MERGEABLE, GUARD = 14, 15, 4, 21, 12, 102
_SOURCE: Final = Path(__file__).with_name("tenant.c")
_PATIENCE: Final = 30


@dataclass(eq=False)
class Tenant:
    """One process that obeys; `pid` as seen from here, `handle` its pidfd. Methods raise OSError as the tenant saw it."""

    household: "Household"
    link: socket.socket
    pid: int
    handle: int
    started: "subprocess.Popen[bytes] | None" = None

    def do(self, verb: str, *numbers: int, text: bytes | None = None) -> int:
        """One command of tenant.c and its answer. Raises OSError as the tenant saw it, EOFError if it is gone."""
        words = [verb, *([f"={text.hex()}"] if text is not None else []), *(str(n & (1 << 64) - 1) for n in numbers)]
        self.link.send(" ".join(words).encode())
        reply = self.link.recv(64)
        if not reply:
            raise EOFError(f"tenant {self.pid} ended at {verb}")
        value, number = map(int, reply.split())
        if number:
            raise OSError(number, f"tenant {self.pid}: {verb} {numbers}: {os.strerror(number)}")
        return value

    def map(
        self, length: int, prot: int = READ | WRITE, flags: int = PRIVATE | ANONYMOUS, fd: int = -1, at: int = 0
    ) -> int:
        """mmap(2); returns the address."""
        return self.do("map", at, length, prot, flags, fd, 0)

    def map_aligned(self, length: int) -> int:
        """Private anonymous memory at an address that a PMD can map."""
        wide = self.map(length + PMD)
        start = -(-wide // PMD) * PMD
        for at, size in ((wide, start - wide), (start + length, wide + PMD - start)):
            if size:
                self.do("unmap", at, size)
        return start

    def write(self, at: int, length: int, value: int = 7) -> None:
        """One byte of every page."""
        self.do("write", at, length, value)

    def memory(self, length: int, value: int = 7) -> int:
        """Small pages of its own, written; the address."""
        at = self.map(length)
        self.do("advise", at, length, NOHUGEPAGE)
        self.write(at, length, value)
        return at

    def thp(self, length: int) -> int:
        """PMD-mapped THPs, where the kernel gives them; the address."""
        at = self.map_aligned(length)
        self.do("advise", at, length, HUGEPAGE)
        self.write(at, length)
        return at

    def memfd(self, name: bytes, length: int, flags: int = 0) -> int:
        """A memfd of that name, mapped shared and written; the address."""
        fd = self.do("memfd", flags, text=name)
        self.do("size", fd, length)
        at = self.map(length, flags=SHARED, fd=fd)
        self.write(at, length)
        return at

    def file(self, path: bytes, length: int) -> int:
        """A file of that path, made, mapped shared and written; the address."""
        fd = self.do("open", text=path)
        self.do("size", fd, length)
        at = self.map(length, flags=SHARED, fd=fd)
        self.write(at, length)
        return at

    def fork(self) -> "Tenant":
        """A child that obeys too."""
        self.do("fork")
        return self.household.accept()

    def end(self) -> None:
        """Ask it to exit, and wait."""
        with suppress(OSError):
            self.link.send(b"exit")
            self.link.recv(1)
        self.link.close()
        if self.started:
            self.started.wait(_PATIENCE)


@dataclass
class Household:
    """All tenants of one test; they end with it (their socket closes)."""

    program: Path
    name: str
    listener: socket.socket
    tenants: list[Tenant] = field(default_factory=list)

    def start(self, place: Place = HERE, **options: object) -> Tenant:
        """A new tenant, executed in `place`."""
        place.need()
        command = [str(self.program), self.name] if place == HERE else place.command(str(self.program), self.name)
        started = subprocess.Popen(command, **options)  # type: ignore[call-overload]
        tenant = self.accept()
        tenant.started = started
        return tenant

    def accept(self) -> Tenant:
        """The tenant that comes next."""
        link, _ = self.listener.accept()
        link.settimeout(_PATIENCE)
        pid, _, _ = struct.unpack("3i", link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        link.recv(64)
        self.tenants.append(Tenant(self, link, pid, os.pidfd_open(pid)))
        return self.tenants[-1]


def build(directory: Path) -> Path:
    """Compile the tenant once. Skips where there is no C compiler that links statically."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler: tenant.c cannot be built")
    made = directory / "tenant"
    command = [compiler, "-O1", "-Wall", "-static", "-pthread", "-o", str(made), str(_SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"tenant.c: {done.stderr.strip().split(chr(10))[-1]}")
    directory.chmod(0o755)
    return made


@contextmanager
def household(program: Path) -> Iterator[Household]:
    """A household on an abstract socket; at its end nobody is left."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        name = f"rmaplab-hostile-{os.getpid()}-{os.urandom(4).hex()}"
        listener.bind(b"\0" + name.encode())
        listener.listen(64)
        listener.settimeout(_PATIENCE)
        made = Household(program, name, listener)
        try:
            yield made
        finally:
            for tenant in made.tenants:
                tenant.link.close()
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(tenant.handle, signal.SIGKILL)
                os.close(tenant.handle)
            for tenant in made.tenants:
                if tenant.started:
                    tenant.started.wait(_PATIENCE)
