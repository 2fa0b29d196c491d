"""The guest's side: a live machine, and calls to it from the host, one after the other.

Run in the guest as `python -m rmaplab.machine.lab.serve`; ends when the host hangs up.
"""

import os
import sys
from pathlib import Path
from typing import Any, Final

from rmaplab.errors import RmaplabError
from rmaplab.machine.lab import wire
from rmaplab.machine.lab.wire import MACHINE, Call, Failed, Handle
from rmaplab.machine.live import LiveMachine
from rmaplab.machine.live.held import LiveFile, LivePin
from rmaplab.machine.live.process import LiveProcess
from rmaplab.machine.protocol import BadOperation, NotAvailable

_PORTS: Final = Path("/sys/class/virtio-ports")


class Server:
    """Objects by number, and what is done with them."""

    def __init__(self) -> None:
        self._objects: dict[int, Any] = {}
        self._numbers: dict[int, int] = {}

    def answer(self, call: Call) -> object:
        """What the call gives, or how it failed."""
        try:
            return self._outward(self._do(call))
        except BadOperation as bad:
            return Failed("bad", (bad.call, str(bad.value), bad.rule))
        except NotAvailable as missing:
            return Failed("missing", (str(missing),))
        except RmaplabError as error:
            return Failed("machine", (str(error),))

    def _do(self, call: Call) -> object:
        if MACHINE not in self._objects:
            self._objects[MACHINE] = LiveMachine()
        target = getattr(self._objects[call.number], call.name)
        if call.read:
            return target
        named = {key: self._inward(value) for key, value in (call.named or {}).items()}
        return target(*(self._inward(value) for value in call.arguments), **named)

    def _inward(self, value: object) -> object:
        return self._objects[value.number] if isinstance(value, Handle) else value

    def _outward(self, value: object) -> object:
        match value:
            case LiveProcess():
                return self._handle(value, "process", {})
            case LiveFile():
                return self._handle(value, "file", {"kind": value.kind, "length": value.length})
            case LivePin():
                return self._handle(value, "pin", {"pages": value.pages})
            case list():
                return [self._outward(one) for one in value]
        return value

    def _handle(self, value: object, what: Any, facts: dict[str, Any]) -> Handle:
        number = self._numbers.setdefault(id(value), len(self._numbers) + 1)
        self._objects[number] = value
        return Handle(number, what, facts)


def main() -> None:
    """Serve the host's calls."""
    device = next((place.name for place in _PORTS.iterdir() if (place / "name").read_text().strip() == wire.PORT), None)
    if device is None:
        sys.exit(f"no virtio port is called {wire.PORT}")
    port = os.open(f"/dev/{device}", os.O_RDWR)
    server = Server()
    while True:
        try:
            call = wire.unpack(lambda size: _read(port, size))
        except EOFError:
            return
        _write(port, wire.pack(server.answer(call)))


def _read(port: int, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = os.read(port, size - len(parts))
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)


def _write(port: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(port, rest) :]


if __name__ == "__main__":
    main()
