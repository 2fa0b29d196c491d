"""Kernels as data: one entry each, where it comes from and what the lab knows of it.

For everybody who names a kernel. A new kernel is one more entry; no code asks for a name or a version.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rmaplab.errors import RmaplabError


@dataclass(frozen=True, slots=True)
class Package:
    """A Debian package: the suite it is in, and a regular expression for its name, of which the newest match counts."""

    suite: str
    name: str


@dataclass(frozen=True, slots=True)
class Kernel:
    """One kernel: `image` is Debian's own, booted as it is; `tree` its source, None where the lab does not build it.
    `policy` names the model's rules for it."""

    name: str
    image: Package
    tree: Package | None
    policy: str


def _known() -> dict[str, Kernel]:
    kernels = (
        Kernel("6.1", Package("bookworm-security", r"linux-image-6\.1\.0-\d+-amd64"), None, "linux-6.6"),
        Kernel(
            "6.12",
            Package("bookworm-security", r"linux-image-6\.12\.\d+\+deb12-amd64"),
            Package("bookworm-security", r"linux-source-6\.12"),
            "linux-6.12",
        ),
        Kernel("6.18", Package("trixie-backports", r"linux-image-6\.18\.\d+\+deb13-amd64"), None, "linux-6.18"),
        Kernel(
            "7.3",
            Package("trixie-backports", r"linux-image-7\.3\.\d+\+deb13-amd64"),
            Package("trixie-backports", r"linux-source-7\.3"),
            "linux-6.18",
        ),
    )
    return {kernel.name: kernel for kernel in kernels}


KERNELS: Final[Mapping[str, Kernel]] = _known()
"""Kernels by name."""


SCHEMES: Final = (
    *("off", "mm-id", "generations", "generations-safe", "moments", "moments+exclusive", "moments+exclusive-add"),
    *("packed", "moments-flag"),
)
"""What `rmap_scheme=` of a patched kernel takes (kernel/mm/rmaplab/)."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What to boot: a kernel of `KERNELS` or a directory with a built one, and a scheme if it shall be patched.

    Without `scheme` it is Debian's own image. `debug` asks for the build with the kernel's checkers.
    """

    kernel: str | Path
    scheme: str | None = None
    debug: bool = False

    def __post_init__(self) -> None:
        if self.scheme not in (None, *SCHEMES):
            raise RmaplabError(f"scheme: {self.scheme}: must be one of {', '.join(SCHEMES)}")

    def __str__(self) -> str:
        scheme = "" if self.scheme is None else f",scheme={self.scheme}"
        return f"{self.kernel}{scheme}{',debug' if self.debug else ''}"


def parse(text: str) -> Wish:
    """`7.3`, `7.3,scheme=packed`, `7.3,scheme=packed,debug` or a directory. Raises RmaplabError."""
    name, *options = text.split(",")
    wish: dict[str, str] = {}
    debug = False
    for option in options:
        key, equals, value = option.partition("=")
        if option == "debug":
            debug = True
        elif key == "scheme" and equals and value:
            wish[key] = value
        else:
            raise RmaplabError(f"--kernel: {text}: {option!r}: must be scheme=NAME or debug")
    if name in KERNELS:
        return Wish(name, wish.get("scheme"), debug)
    if "/" in name or Path(name).is_dir():
        if not Path(name).is_dir():
            raise RmaplabError(f"--kernel: {name}: must be a directory with a kernel, or one of {', '.join(KERNELS)}")
        return Wish(Path(name).resolve(), wish.get("scheme"), debug)
    raise RmaplabError(f"--kernel: {name}: must be one of {', '.join(KERNELS)}, or a directory with a kernel")
