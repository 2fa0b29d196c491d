"""The guest's first file system: busybox, `init.sh`, modules, and what one boot brings along.

For the guest. A cpio archive in the kernel's "newc" form (Documentation/driver-api/early-userspace/buffer-format.rst),
written here: it is eleven numbers a file, and no tool is needed.
"""

import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rmaplab.errors import NotAvailable
from rmaplab.kernels.image import Image

_INIT: Final = Path(__file__).resolve().parent / "init.sh"
_DIRECTORIES: Final = ("bin", "dev", "proc", "sys", "tmp", "host", "upper", "root", "modules", "lab")


class Archive:
    """Files added one by one; `data()` is the archive."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._files = 0

    def directory(self, name: str) -> None:
        self._add(name, stat.S_IFDIR | 0o755, b"")

    def file(self, name: str, contents: bytes, *, executable: bool = False) -> None:
        self._add(name, stat.S_IFREG | (0o755 if executable else 0o644), contents)

    def device(self, name: str, major: int, minor: int) -> None:
        """A character device."""
        self._add(name, stat.S_IFCHR | 0o600, b"", (major, minor))

    def data(self) -> bytes:
        """The archive, complete."""
        self._add("TRAILER!!!", 0, b"")
        return b"".join(self._parts)

    def _add(self, name: str, mode: int, contents: bytes, device: tuple[int, int] = (0, 0)) -> None:
        self._files += 1
        path = name.encode() + b"\0"
        numbers = (self._files, mode, 0, 0, 1, 0, len(contents), 0, 0, *device, len(path), 0)
        head = b"070701" + b"".join(b"%08X" % number for number in numbers) + path
        self._parts += [_padded(head), _padded(contents)]


def _padded(part: bytes) -> bytes:
    return part + bytes(-len(part) % 4)


def make(image: Image, files: Mapping[str, bytes]) -> bytes:
    """The archive for one boot; `files` (executable) come besides, by path. Raises NotAvailable without busybox."""
    busybox = shutil.which("busybox")
    if not busybox:
        raise NotAvailable("no busybox: guests need a static one (Debian: busybox-static)")
    archive = Archive()
    for name in _DIRECTORIES:
        archive.directory(name)
    archive.device("dev/console", 5, 1)
    archive.file("bin/busybox", Path(busybox).read_bytes(), executable=True)
    archive.file("init", _INIT.read_bytes(), executable=True)
    for module in image.modules:
        archive.file(f"modules/{module.name}", module.read_bytes())
    for path, contents in files.items():
        archive.file(path, contents, executable=True)
    return archive.data()
