"""A kernel that runs: booted, given one command, listened to, ended.

For `rmaplab kernel`, the lab machine and tests. The command's output and its end come through channels of their own; the
console is the kernel's, and is kept, so that what it complained about can be told.
"""

import contextlib
import os
import selectors
import shlex
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final, Self

from rmaplab.errors import NotAvailable, RmaplabError
from rmaplab.kernels import accel, initramfs, qemu
from rmaplab.kernels.image import Image
from rmaplab.kernels.qemu import CONSOLE, Hardware

Sink = Callable[[bytes], object]
BOOT_SECONDS: Final = 120.0
"""After which a kernel that reached no user space never will."""

_ENDS: Final = ("out", "err", "end")
_WITHOUT_AVX2: Final = ('export NPY_DISABLE_CPU_FEATURES="X86_V3 AVX2 X86_V4 AVX512F"',)
"""NumPy's AVX2 sort gives unsorted arrays under TCG (QEMU 7.2); Polars does not start on a CPU without AVX2."""

_SPLAT: Final = ("BUG:", "WARNING:", "KASAN:", "KCSAN:", "Oops:", "kernel BUG at", "INFO: possible", "UBSAN:")


class GuestError(RmaplabError):
    """A guest did not do what it was booted for: says what, and the end of its console."""


@dataclass(slots=True)
class Ended:
    """What a command in a guest came to: exit status, seconds it took with the boot, and the whole console."""

    status: int
    seconds: float
    console: str
    out: bytes = b""
    err: bytes = b""

    @property
    def splats(self) -> list[str]:
        """Lines of the console with which a kernel says that it caught itself doing wrong."""
        return splats(self.console)


def splats(console: str) -> list[str]:
    """Lines in which a kernel says that it caught itself doing wrong."""
    return [line.strip() for line in console.splitlines() if any(word in line for word in _SPLAT)]


@dataclass(slots=True)
class Guest:
    """One boot of `image`. Use as a context manager: leaving it ends the guest.

    `command` is a shell script; with `hardware.root` it runs with the host's files, where this process stands, else
    in the initramfs with `files`. `channels` are sockets to ports of these names, `out` and `err` get what the command
    writes. `counting`: what is executed is counted, under emulation. Raises NotAvailable where the kernel or the host
    lacks what this needs.
    """

    image: Image
    command: str
    hardware: Hardware = field(default_factory=Hardware)
    append: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict)
    channels: tuple[str, ...] = ()
    out: Sink | None = None
    err: Sink | None = None
    accelerator: qemu.Accelerator | None = None
    counting: qemu.Counting | None = None
    sockets: dict[str, socket.socket] = field(default_factory=dict)
    _console: bytearray = field(default_factory=bytearray)
    _end: bytearray = field(default_factory=bytearray)
    _kept: dict[str, bytearray] = field(default_factory=dict)
    _stack: ExitStack = field(default_factory=ExitStack)
    _began: float = 0.0
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        used = self.accelerator = "tcg" if self.counting else self.accelerator or accel.choose(self.image)
        data = initramfs.make(self.image, {**self.files, "lab/settings": self._settings(), "lab/run": self._script()})
        self._began = time.monotonic()
        _, sockets = self._stack.enter_context(
            qemu.running(
                self.image.kernel, data, self.append, self.hardware, (*_ENDS, *self.channels), used, self.counting
            )
        )
        self.sockets = {name: sockets[name] for name in self.channels}
        sinks: dict[str, Sink] = {CONSOLE: self._console.extend, "end": self._end.extend}
        for name, sink in (("out", self.out), ("err", self.err)):
            self._kept[name] = bytearray()
            sinks[name] = sink or self._kept[name].extend
        listened = {sockets[name]: sink for name, sink in sinks.items()}
        pump = threading.Thread(target=self._listen, args=(listened,), daemon=True)
        pump.start()
        self._stack.callback(self._hush, tuple(listened), pump)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @staticmethod
    def _hush(channels: tuple[socket.socket, ...], pump: threading.Thread) -> None:
        """End the listening. Before the channels are closed: a selector forgets a closed one, and then waits for ever."""
        for channel in channels:
            with contextlib.suppress(OSError):  # the guest may have gone first
                channel.shutdown(socket.SHUT_RDWR)
        pump.join()

    @property
    def console(self) -> str:
        """What the kernel printed so far."""
        return bytes(self._console).decode(errors="replace")

    def wait(self, seconds: float) -> Ended:
        """Until the command ended. Raises GuestError if the kernel died, or after `seconds`; NotAvailable if the kernel
        cannot do this."""
        if not self._over.wait(seconds):
            raise GuestError(f"{self.image.title}: did not end within {seconds:.0f} s{self._last_words()}")
        return self._ended()

    @property
    def over(self) -> bool:
        """Whether the command, or the whole guest, ended."""
        return self._over.is_set()

    def _ended(self) -> Ended:
        word, _, what = bytes(self._end).decode(errors="replace").strip().partition(" ")
        if word == "lacks":
            raise NotAvailable(f"{self.image.title}: this kernel lacks {what}")
        if word != "exit":
            raise GuestError(f"{self.image.title}: the kernel stopped{self._last_words()}")
        kept = {name: bytes(data) for name, data in self._kept.items()}
        return Ended(int(what), time.monotonic() - self._began, self.console, kept["out"], kept["err"])

    def _listen(self, sinks: Mapping[socket.socket, Sink]) -> None:
        """Give what comes to the sinks, until the guest said how it ended and what it wrote before is here."""
        try:
            with selectors.DefaultSelector() as selector:
                for channel, sink in sinks.items():
                    selector.register(channel, selectors.EVENT_READ, sink)
                while selector.get_map():
                    ready = selector.select(timeout=0.2 if self._said_end() else None)
                    if not ready and self._said_end():
                        break
                    for key, _ in ready:
                        data = _receive(key.fileobj)
                        if data:
                            key.data(data)
                        else:
                            selector.unregister(key.fileobj)
        finally:
            self._over.set()

    def _said_end(self) -> bool:
        return self._end.endswith(b"\n")

    def _last_words(self) -> str:
        """What it complained about, else the end of its console, in one line."""
        lines = [line.strip() for line in self.console.splitlines() if line.strip()]
        said = [line for line in lines if "Kernel panic" in line][:1] or splats(self.console)[:1] or lines[-2:]
        return f": its console says {' | '.join(said)}" if said else " without a word"

    def _settings(self) -> bytes:
        scheme = next((word.partition("=")[2] for word in self.append.split() if word.startswith("rmap_scheme=")), "")
        return f"ROOT={'host' if self.hardware.root else 'none'}\nSCHEME={scheme}\n".encode()

    def _script(self) -> bytes:
        if not self.hardware.root:
            return f"#!/bin/sh\n{self.command}\n".encode()
        passed = ("PATH", "LANG", "LC_ALL", "VIRTUAL_ENV")
        exports = [f"export {name}={shlex.quote(os.environ[name])}" for name in passed if name in os.environ]
        return "\n".join(
            [
                "#!/bin/sh",
                *exports,
                "export HOME=/root PYTHONDONTWRITEBYTECODE=1 OPENBLAS_NUM_THREADS=1",
                *(_WITHOUT_AVX2 if self.accelerator == "tcg" else ()),
                f"cd {shlex.quote(os.getcwd())}",
                self.command,
                "",
            ]
        ).encode()


def _receive(channel: object) -> bytes:
    assert isinstance(channel, socket.socket)
    with contextlib.suppress(OSError):
        return channel.recv(1 << 16)
    return b""


def run(image: Image, command: str, seconds: float, **how: object) -> Ended:
    """Boot, run, end. `how` is what `Guest` takes."""
    with Guest(image, command, **how) as guest:  # type: ignore[arg-type]
        return guest.wait(seconds)
