"""`LabMachine`: the protocol's `Machine` over processes in a kernel that was booted for it.

For scenarios, the CLI and tests. Every call goes to a live machine in the guest and its answer comes back, so what
happens there is what would happen here, on another kernel.
"""

import shlex
import sys
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Final, Literal, NoReturn, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from rmaplab.kernels import obtain
from rmaplab.kernels.entries import parse
from rmaplab.kernels.guest import PATIENCE, Guest
from rmaplab.kernels.qemu import Hardware
from rmaplab.machine.lab import wire
from rmaplab.machine.lab.wire import MACHINE, Call, Failed, Handle
from rmaplab.machine.protocol import (
    Advice,
    BadOperation,
    File,
    MachineError,
    NotAvailable,
    Pin,
    Process,
    Written,
)
from rmaplab.trace import Trace

_LAST_WORDS: Final = 60.0
"""Seconds in which the end of a guest that hung up is heard."""


class LabMachine:
    """A guest with `kernel` (see `rmaplab.kernels.entries.parse`) and a live machine in it.

    Raises RmaplabError for a kernel nobody knows, NotAvailable where it cannot be had or booted.
    """

    name: Final = "lab"

    def __init__(self, kernel: str, *, memory: int = 2048) -> None:
        wish = parse(kernel)
        boot = obtain.bootable(wish)
        serve = f"{shlex.quote(sys.executable)} -m rmaplab.machine.lab.serve"
        with ExitStack() as stack:
            self._guest = stack.enter_context(
                Guest(boot.image, serve, Hardware(memory=memory), boot.append, channels=(wire.PORT,))
            )
            self._channel = self._guest.sockets[wire.PORT]
            self._open = True
            self.call(MACHINE, "processes")
            self._stack = stack.pop_all()

    def spawn(self) -> "LabProcess":
        return LabProcess(self, self.call(MACHINE, "spawn"))

    def file(self, length: int, *, kind: Literal["file", "shmem"] = "shmem", order: int = 0) -> "LabFile":
        return LabFile(self.call(MACHINE, "file", length, kind=kind, order=order))

    def truncate(self, file: File, length: int) -> None:
        self.call(MACHINE, "truncate", file, length)
        if isinstance(file, LabFile):
            file.length = length

    def punch_hole(self, file: File, offset: int, length: int) -> None:
        self.call(MACHINE, "punch_hole", file, offset, length)

    def merge(self) -> None:
        self.call(MACHINE, "merge")

    def khugepaged(self, *, max_none: int = 511, max_swap: int = 64, max_shared: int = 256) -> None:
        self.call(MACHINE, "khugepaged", max_none=max_none, max_swap=max_swap, max_shared=max_shared)

    def swap(self, length: int) -> None:
        self.call(MACHINE, "swap", length)

    def processes(self) -> list["LabProcess"]:
        return [LabProcess(self, handle) for handle in self.call(MACHINE, "processes")]

    def observe(self) -> pl.DataFrame:
        return self._frame(self.call(MACHINE, "observe"))

    def trace(self) -> Trace:
        """Everything so far. `source` says "lab": the kernel it names ran in a guest."""
        trace: Trace = self.call(MACHINE, "trace")
        return replace(trace, meta=replace(trace.meta, source=self.name))

    def close(self) -> None:
        if self._open:
            self._open = False
            self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # What follows is for the machine's own processes.

    def call(self, number: int, name: str, /, *arguments: object, **named: object) -> Any:
        """Do it in the guest. Raises what it raised there, MachineError if the guest is no more."""
        words = {key: _outward(value) for key, value in named.items()}
        return self._answer(Call(number, name, tuple(_outward(value) for value in arguments), words))

    def attribute(self, number: int, name: str) -> Any:
        """What the guest's object has now under this name."""
        return self._answer(Call(number, name, read=True))

    def _answer(self, call: Call) -> Any:
        if not self._open:
            raise BadOperation(call.name, "machine", "it is closed")
        try:
            self._channel.settimeout(None)
            self._channel.sendall(wire.pack(call))
            answer = wire.unpack(self._read)
        except (EOFError, OSError) as error:
            self._explain(call.name, error)
        if isinstance(answer, Failed):
            _raise(answer)
        return answer

    def _read(self, size: int) -> bytes:
        parts, waited = bytearray(), 0.0
        self._channel.settimeout(1.0)  # so that the end of the guest is seen in between
        while len(parts) < size:
            try:
                part = self._channel.recv(size - len(parts))
            except TimeoutError:
                waited += 1.0
                if waited > PATIENCE:
                    raise
                if self._guest.over:
                    raise EOFError from None
                continue
            if not part:
                raise EOFError
            parts += part
        return bytes(parts)

    def _explain(self, name: str, error: Exception) -> NoReturn:
        """Raise the reason why the guest does not answer."""
        if isinstance(error, TimeoutError):
            raise MachineError(f"{name}: the machine in the guest did not answer within {PATIENCE:.0f} s") from error
        ended = self._guest.wait(_LAST_WORDS)
        last = ended.err.decode(errors="replace").strip().splitlines()[-1:]
        raise MachineError(f"{name}: the machine in the guest ended ({ended.status}): {''.join(last)}") from error

    @staticmethod
    def _frame(value: object) -> pl.DataFrame:
        assert isinstance(value, pl.DataFrame)
        return value


def _raise(failed: Failed) -> None:
    match failed.kind:
        case "bad":
            raise BadOperation(*failed.words)
        case "missing":
            raise NotAvailable(f"in the guest: {failed.words[0]}")
        case "machine":
            raise MachineError(f"in the guest: {failed.words[0].strip()}")


def _outward(value: object) -> object:
    return value.handle if isinstance(value, LabFile | LabPin | LabProcess) else value


class LabFile:
    """A file in the guest."""

    def __init__(self, handle: Handle) -> None:
        self.handle = handle
        self.length = int(handle.facts["length"])

    @property
    def kind(self) -> Literal["file", "shmem"]:
        return "file" if self.handle.facts["kind"] == "file" else "shmem"


class LabPin:
    """References held in the guest."""

    def __init__(self, handle: Handle) -> None:
        self.handle = handle

    @property
    def pages(self) -> int:
        return int(self.handle.facts["pages"])


class LabProcess:
    """A process in the guest."""

    def __init__(self, machine: LabMachine, handle: Handle) -> None:
        self._machine, self.handle = machine, handle

    @property
    def mm(self) -> int:
        return int(self._read("mm"))

    @property
    def alive(self) -> bool:
        return bool(self._read("alive"))

    def mmap(
        self,
        length: int,
        *,
        order: int = 0,
        file: File | None = None,
        offset: int = 0,
        shared: bool = False,
        over: int | None = None,
    ) -> int:
        return int(self._do("mmap", length, order=order, file=file, offset=offset, shared=shared, over=over))

    def munmap(self, address: int, length: int) -> None:
        self._do("munmap", address, length)

    def mremap(
        self, address: int, old_length: int, new_length: int, *, move: bool = False, dontunmap: bool = False
    ) -> int:
        return int(self._do("mremap", address, old_length, new_length, move=move, dontunmap=dontunmap))

    def mprotect(self, address: int, length: int, *, writable: bool, readable: bool = True) -> None:
        self._do("mprotect", address, length, writable=writable, readable=readable)

    def madvise(self, address: int, length: int, advice: Advice, *, by: Process | None = None) -> None:
        self._do("madvise", address, length, advice, by=by)

    def mlock(self, address: int, length: int) -> None:
        self._do("mlock", address, length)

    def munlock(self, address: int, length: int) -> None:
        self._do("munlock", address, length)

    def uffd_wp(self, address: int, length: int, *, protected: bool = True) -> None:
        self._do("uffd_wp", address, length, protected=protected)

    def thp_disable(self, disabled: bool = True) -> None:
        self._do("thp_disable", disabled)

    def read(self, address: int, length: int) -> NDArray[np.uint8]:
        return np.asarray(self._do("read", address, length), np.uint8)

    def write(self, address: int, length: int, value: int = 1) -> Written:
        return _written(self._do("write", address, length, value))

    def peek(self, address: int, length: int) -> NDArray[np.uint8]:
        return np.asarray(self._do("peek", address, length), np.uint8)

    def poke(self, address: int, length: int, value: int = 1) -> Written:
        return _written(self._do("poke", address, length, value))

    def read_direct(self, address: int, length: int, value: int = 1) -> Written:
        return _written(self._do("read_direct", address, length, value))

    def migrate(self, address: int, length: int, *, shared: bool = False) -> int:
        return int(self._do("migrate", address, length, shared=shared))

    def ask(self, address: int, length: int) -> None:
        self._do("ask", address, length)

    def fork(self) -> Process:
        return LabProcess(self._machine, self._do("fork"))

    def vfork(self) -> Process:
        return LabProcess(self._machine, self._do("vfork"))

    def clone_vm(self) -> Process:
        return LabProcess(self._machine, self._do("clone_vm"))

    def exec(self) -> None:
        self._do("exec")

    def exit(self) -> None:
        self._do("exit")

    def pin(self, address: int, length: int, *, longterm: bool = False) -> Pin:
        return LabPin(self._do("pin", address, length, longterm=longterm))

    def unpin(self, pin: Pin) -> None:
        self._do("unpin", pin)

    def _do(self, name: str, *arguments: object, **named: object) -> Any:
        return self._machine.call(self.handle.number, name, *arguments, **named)

    def _read(self, name: str) -> Any:
        return self._machine.attribute(self.handle.number, name)


def _written(value: object) -> Written:
    assert isinstance(value, Written)
    return value
