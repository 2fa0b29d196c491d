"""Modules of a kernel package: which are needed, in which order, unpacked.

For images. A module's own `.modinfo` says what it depends on; a name with no file is built in, or not there at all.
"""

import lzma
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

WANTED: Final = (
    *("virtio_pci", "virtio_console", "virtio_blk", "9pnet_virtio", "9p", "overlay"),
    *("crc32c_generic", "crc32c_cryptoapi", "ext4", "lzo", "lzo_rle", "zram", "loop"),
)
"""What a guest needs: its channels, the host's files, a disk file system and a swap device."""


def find(tree: Path) -> dict[str, Path]:
    """Module files under `tree` by module name."""
    files = (path for path in tree.rglob("*.ko*") if path.is_file())
    return {path.name.partition(".ko")[0].replace("-", "_"): path for path in files}


def closure(index: dict[str, Path], wanted: Iterable[str] = WANTED) -> Iterator[tuple[str, bytes]]:
    """Name and contents of the wanted modules and all they depend on, each after what it depends on."""
    done: set[str] = set()
    for name in wanted:
        yield from _with_needs(name, index, done)


def _with_needs(name: str, index: dict[str, Path], done: set[str]) -> Iterator[tuple[str, bytes]]:
    if name in done or name not in index:
        return
    done.add(name)
    contents = _read(index[name])
    for needed in _depends(contents):
        yield from _with_needs(needed, index, done)
    yield name, contents


def _read(path: Path) -> bytes:
    packed = path.read_bytes()
    return lzma.decompress(packed) if path.suffix == ".xz" else packed


def _depends(contents: bytes) -> list[str]:
    hard = re.findall(rb"\0depends=([^\0]*)\0", contents)
    soft = re.findall(rb"\0softdep=pre: ([^\0]*)\0", contents)
    names = ",".join(text.decode() for text in hard).split(",") + " ".join(text.decode() for text in soft).split()
    return [name.replace("-", "_") for name in names if name]
