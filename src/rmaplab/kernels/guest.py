"""A kernel that runs: booted, given one command, listened to, ended.

For `rmaplab kernel`, the lab machine and tests. The command's output and its end come through channels of their own; the
console is the kernel's, and is kept, so that what it complained about can be told. Nothing here depends on how long a
channel is silent: a mark ends the command's output, and another what the kernel printed until then.
"""

import contextlib
import os
import secrets
import selectors
import shlex
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import BinaryIO, Final, Self

from rmaplab.errors import NotAvailable, RmaplabError
from rmaplab.kernels import accel, initramfs, qemu, terminal
from rmaplab.kernels.image import Image
from rmaplab.kernels.qemu import Hardware

Sink = Callable[[bytes], object]
PATIENCE: Final = 3600.0
"""Seconds after which whoever boots a guest for minutes takes it for dead: on a busy host all takes ten times as long."""

_ENDS: Final = ("out", "err", "end")
_WITHOUT_AVX2: Final = ('export NPY_DISABLE_CPU_FEATURES="X86_V3 AVX2 X86_V4 AVX512F"',)
"""NumPy's AVX2 sort gives unsorted arrays under TCG (QEMU 7.2); Polars does not start on a CPU without AVX2."""

_CONSOLE_SECONDS: Final = 20.0
"""How long the kernel may take to print what was put in its log before the command's end was said."""

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


@dataclass(slots=True)
class Marked:
    """A sink for what a command writes, up to a mark; `over` once that came. What may be its beginning is held back."""

    sink: Sink
    mark: bytes
    over: bool = False
    _held: bytes = b""

    def __call__(self, data: bytes) -> None:
        if self.over:
            return
        data, found, _ = (self._held + data).partition(self.mark)
        self.over = bool(found)
        lengths = range(0 if found else min(len(data), len(self.mark) - 1), 0, -1)
        held = next((n for n in lengths if data.endswith(self.mark[:n])), 0)
        self._held = data[len(data) - held :]
        if passed := data[: len(data) - held]:
            self.sink(passed)


def splats(console: str) -> list[str]:
    """Lines in which a kernel says that it caught itself doing wrong."""
    return [line.strip() for line in console.splitlines() if any(word in line for word in _SPLAT)]


@dataclass(slots=True)
class Guest:
    """One boot of `image`. Use as a context manager: leaving it ends the guest.

    `command` is a shell script; with `hardware.root` it runs with the host's files, where this process stands, else
    in the initramfs with `files`. `channels` are sockets to ports of these names, `out` and `err` get what the command
    writes. `counting`: what is executed is counted, under emulation. `window`: the command gets a terminal of that size,
    whose other end is `join`ed to ours. Raises NotAvailable where the kernel or the host lacks what this needs.
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
    window: os.terminal_size | None = None
    sockets: dict[str, socket.socket] = field(default_factory=dict)
    _mark: str = field(default_factory=lambda: secrets.token_hex(8))
    _console: BinaryIO | None = None
    _end: bytearray = field(default_factory=bytearray)
    _kept: dict[str, bytearray] = field(default_factory=dict)
    _stack: ExitStack = field(default_factory=ExitStack)
    _began: float = 0.0
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        used = self.accelerator = "tcg" if self.counting else self.accelerator or accel.choose(self.image)
        data = initramfs.make(self.image, {**self.files, "lab/settings": self._settings(), "lab/run": self._script()})
        self._began = time.monotonic()
        mine = self.channels if self.window is None else (*self.channels, qemu.TERMINAL)
        sockets, self._console = self._stack.enter_context(
            qemu.running(self.image.kernel, data, self.append, self.hardware, (*_ENDS, *mine), used, self.counting)
        )
        self.sockets = {name: sockets[name] for name in mine}
        written = []
        for name, sink in (("out", self.out), ("err", self.err)):
            self._kept[name] = bytearray()
            written.append(Marked(sink or self._kept[name].extend, b"\0" + self._mark.encode()))
        listened = dict(zip((sockets[name] for name in _ENDS), (*written, self._end.extend), strict=True))
        pump = threading.Thread(target=self._listen, args=(listened, written), daemon=True)
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
        if self._console is None:
            return ""
        return os.pread(self._console.fileno(), os.fstat(self._console.fileno()).st_size, 0).decode(errors="replace")

    def join(self, keys: int, screen: BinaryIO) -> bool:
        """Join the command's terminal to ours, until it ended; False if somebody left before (`terminal.LEAVE`).

        `keys`: descriptor of a terminal. Only with a `window`.
        """

        def show(data: bytes) -> None:
            screen.write(data)
            screen.flush()

        shown = Marked(show, b"\0" + self._mark.encode())
        with terminal.raw(keys):
            return terminal.join(self.sockets[qemu.TERMINAL], keys, shown, lambda: shown.over or self._lacking())

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
        limit = time.monotonic() + _CONSOLE_SECONDS
        while self._mark not in self.console and time.monotonic() < limit:
            time.sleep(0.05)
        kept = {name: bytes(data) for name, data in self._kept.items()}
        return Ended(int(what), time.monotonic() - self._began, self.console, kept["out"], kept["err"])

    def _listen(self, sinks: Mapping[socket.socket, Sink], written: Sequence[Marked]) -> None:
        """Give what comes to the sinks, until the guest said how it ended and all that its command wrote is here."""
        try:
            with selectors.DefaultSelector() as selector:
                for channel, sink in sinks.items():
                    selector.register(channel, selectors.EVENT_READ, sink)
                while selector.get_map() and not self._said_all(written):
                    for key, _ in selector.select():
                        data = _receive(key.fileobj)
                        if data:
                            key.data(data)
                        else:
                            selector.unregister(key.fileobj)
        finally:
            self._over.set()

    def _said_all(self, written: Sequence[Marked]) -> bool:
        if not self._end.endswith(b"\n"):
            return False
        return self._end.startswith(b"lacks") or all(one.over for one in written)

    def _lacking(self) -> bool:
        return self.over and not self._end.startswith(b"exit")

    def _last_words(self) -> str:
        """What it complained about, else the end of its console, in one line."""
        lines = [line.strip() for line in self.console.splitlines() if line.strip()]
        said = [line for line in lines if "Kernel panic" in line][:1] or splats(self.console)[:1] or lines[-2:]
        return f": its console says {' | '.join(said)}" if said else " without a word"

    def _settings(self) -> bytes:
        scheme = next((word.partition("=")[2] for word in self.append.split() if word.startswith("rmap_scheme=")), "")
        ports = " ".join((*_ENDS, *self.channels))
        root = "host" if self.hardware.root else "none"
        rows, columns = (self.window.lines, self.window.columns) if self.window else ("", "")
        words = {"ROOT": root, "SCHEME": scheme, "MARK": self._mark, "PORTS": ports, "ROWS": rows, "COLUMNS": columns}
        return "".join(f"{name}={shlex.quote(str(word))}\n" for name, word in words.items()).encode()

    def _script(self) -> bytes:
        if not self.hardware.root:
            return f"#!/bin/sh\n{self.command}\n".encode()
        passed = ("PATH", "LANG", "LC_ALL", "VIRTUAL_ENV", *(("TERM",) if self.window else ()))
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
