"""Kernels as data: one entry each, where it comes from and what the lab knows of it.

For everybody who names a kernel. A new kernel is one more entry; no code asks for a name or a version.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from rmaplab.errors import RmaplabError
from rmaplab.names import must_be


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
        Kernel("6.1", Package("bookworm-security", r"linux-image-6\.1\.0-\d+-amd64"), None, "linux-6.1"),
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
            "linux-7.x",
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


FLAVOURS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "shipped": (),
        "many": ("CONFIG_RMAPLAB=y", "CONFIG_RMAPLAB_MANY=y"),
        "stats": ("CONFIG_RMAPLAB=y", "CONFIG_RMAPLAB_MANY=y", "CONFIG_RMAPLAB_STATS=y"),
        "one": ("CONFIG_RMAPLAB=y", "CONFIG_RMAPLAB_ONE_MOMENTS_FLAG=y"),
    }
)
"""What a tree is built as: lines of its configuration. `shipped` is unpatched, `one` has `moments-flag` compiled in."""


EXTRAS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "bare": "what the COW table and the witness need and no more: built in about half the time",
        "debug": "DEBUG_VM, lockdep, PROVE_RCU and KASAN",
        "races": "KCSAN",
    }
)
"""How a kernel that is built here can differ from the lab's ordinary one. KASAN and KCSAN exclude each other."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What to boot: a kernel of `KERNELS` or a directory with a built one, and a scheme if it shall be patched.

    Without `scheme`, `flavour` and `extras` it is Debian's own image; else it is built here, as `flavour` of `FLAVOURS`:
    without one, `many` for a scheme and `shipped` else. `extras` are of `EXTRAS`.
    """

    kernel: str | Path
    scheme: str | None = None
    extras: frozenset[str] = frozenset()
    flavour: str | None = None

    def __post_init__(self) -> None:
        if self.scheme not in (None, *SCHEMES):
            raise RmaplabError(f"scheme: {self.scheme}: {must_be(self.scheme, SCHEMES)}")
        if self.flavour not in (None, *FLAVOURS):
            raise RmaplabError(f"flavour: {self.flavour}: {must_be(self.flavour, FLAVOURS)}")
        if isinstance(self.kernel, Path) and (self.flavour or self.extras):
            raise RmaplabError(
                f"{self.kernel}: a built kernel is what it is: must come without flavour=, {', '.join(EXTRAS)}"
            )
        check_extras(self.extras)
        if self.flavour == "shipped" and self.scheme is not None:
            raise RmaplabError(f"scheme: {self.scheme}: must come without flavour=shipped: that kernel has none")
        if self.flavour == "one" and self.scheme not in (None, "moments-flag"):
            raise RmaplabError(f"scheme: {self.scheme}: must be moments-flag with flavour=one")

    def __str__(self) -> str:
        words = (f"scheme={self.scheme}" if self.scheme else "", *sorted(self.extras))
        flavour = f"flavour={self.flavour}" if self.flavour else ""
        return ",".join([str(self.kernel), *filter(None, (*words, flavour))])

    @property
    def answers_by(self) -> str | None:
        """The scheme that answers in it, None for the kernel's own rule."""
        return "moments-flag" if self.flavour == "one" else self.scheme

    @property
    def built_as(self) -> str | None:
        """The flavour it is built as, None for Debian's own image and for a directory."""
        if isinstance(self.kernel, Path) or not (self.scheme or self.extras or self.flavour):
            return None
        return self.flavour or ("many" if self.scheme else "shipped")


def check_extras(extras: frozenset[str]) -> None:
    """Raises RmaplabError for extras that no kernel can have together."""
    if {"debug", "races"} <= extras:
        raise RmaplabError("debug and races: must not come together: a kernel has KASAN or KCSAN")


def parse(text: str) -> Wish:
    """`7.3`, `7.3,scheme=packed`, `7.3,scheme=off,bare,debug`, `7.3,flavour=one`, a directory. Raises RmaplabError."""
    name, *options = text.split(",")
    wish: dict[str, str] = {}
    extras = frozenset(options) & frozenset(EXTRAS)
    for option in options:
        key, equals, value = option.partition("=")
        if option in EXTRAS:
            continue
        if key in ("scheme", "flavour") and equals and value:
            wish[key] = value
        else:
            raise RmaplabError(f"--kernel: {text}: {option!r}: must be scheme=NAME, flavour=NAME, {', '.join(EXTRAS)}")
    if name in KERNELS:
        return Wish(name, wish.get("scheme"), extras, wish.get("flavour"))
    if "/" in name or Path(name).is_dir():
        if not Path(name).is_dir():
            raise RmaplabError(f"--kernel: {name}: must be a directory with a kernel, or one of {', '.join(KERNELS)}")
        return Wish(Path(name).resolve(), wish.get("scheme"), extras, wish.get("flavour"))
    raise RmaplabError(f"--kernel: {name}: {must_be(name, KERNELS, ', or a directory with a kernel')}")
