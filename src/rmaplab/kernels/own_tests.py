"""The kernel's selftests under a scheme, beside the same kernel under its own rule.

For `rmaplab kernel test`. A test that fails under both says nothing about the scheme; so whatever fails is run again
under `off`.
"""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from rmaplab.errors import NotAvailable
from rmaplab.kernels import obtain, selftests
from rmaplab.kernels.build import tree
from rmaplab.kernels.entries import Wish
from rmaplab.kernels.obtain import Bootable
from rmaplab.kernels.selftests import PROGRAMS, Tally

NAMES: Final = tuple(dict.fromkeys(program.name for program in PROGRAMS))
"""Of the programs that can run here."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A program's tally, and that of the kernel's own rule, where it was needed."""

    tally: Tally
    off: Tally | None

    @property
    def beyond_off(self) -> list[str]:
        """What fails here and does not fail under the kernel's own rule."""
        own = self.off.failed if self.off else []
        return [name for name in self.tally.failed if name not in own]

    @property
    def splats(self) -> list[str]:
        """Of both."""
        return self.tally.splats + (self.off.splats if self.off else [])

    def to_dict(self) -> dict[str, Any]:
        """As `rmaplab kernel test --json` prints it."""
        off = {"off": self.off.to_dict()} if self.off else {}
        return {**self.tally.to_dict(), **off, "beyond_off": self.beyond_off, "why": self.tally.why}


def run(wish: Wish, boots: Bootable, names: Sequence[str] = NAMES) -> dict[str, Compared]:
    """The programs called `names` in the kernel that was obtained for `wish`. Raises NotAvailable, GuestError."""
    programs = [program for program in PROGRAMS if program.name in names]
    with tempfile.TemporaryDirectory(prefix="rmaplab-selftests-") as scratch:
        built = selftests.build(_source(wish), Path(scratch), programs)
    found = selftests.run(boots, built, programs)
    failed = [program for program in programs if found[program.title].failed]
    off = selftests.run(own, built, failed) if failed and (own := _own_rule(wish)) else {}
    return {title: Compared(tally, off.get(title)) for title, tally in found.items()}


def _source(wish: Wish) -> Path:
    if not isinstance(wish.kernel, Path):
        return tree(wish.kernel)
    source = _built(wish.kernel).get("source")
    if source is None:
        raise NotAvailable(f"{wish.kernel}: has no built.json: which source it was built from is unknown")
    return Path(source)


def _built(place: Path) -> dict[str, Any]:
    """What `rmaplab kernel build` noted of a kernel; empty if it did not build it."""
    known = place / "built.json"
    return dict(json.loads(known.read_text())) if known.is_file() else {}


def _own_rule(wish: Wish) -> Bootable | None:
    """The same kernel under its own rule; None if `wish` is that already, or nobody knows how to have it."""
    if wish.answers_by in (None, "off"):
        return None
    if isinstance(wish.kernel, Path):
        known = _built(wish.kernel).get("flavour") in ("many", "stats")
        return obtain.bootable(replace(wish, scheme="off")) if known else None
    if wish.built_as == "one":
        return obtain.bootable(Wish(wish.kernel, None, wish.extras, "shipped"))
    return obtain.bootable(replace(wish, scheme="off"))
