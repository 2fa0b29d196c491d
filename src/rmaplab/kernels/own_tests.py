"""The kernel's selftests under a scheme, beside the same kernel under its own rule.

For `rmaplab kernel test`. A test that fails under both says nothing about the scheme, so all run under both. Some of
these tests fail by chance, under any rule: what failed under the scheme alone is run again, under both.
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from rmaplab.errors import NotAvailable
from rmaplab.kernels import obtain, selftests
from rmaplab.kernels.build import tree
from rmaplab.kernels.entries import Wish
from rmaplab.kernels.obtain import Bootable
from rmaplab.kernels.selftests import PROGRAMS, Program, Tally

NAMES: Final = tuple(dict.fromkeys(program.name for program in PROGRAMS))
"""Of the programs that can run here."""


_AGAIN: Final = 3
"""How often a program is run again in which something failed that did not fail under the kernel's own rule."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A program's runs, and those under the kernel's own rule: first one of each, then as many again where they differed.
    Without `off` there is nothing to compare with."""

    runs: Sequence[Tally]
    off: Sequence[Tally] = ()

    @property
    def tally(self) -> Tally:
        """Of the first run."""
        return self.runs[0]

    @property
    def differs(self) -> list[str]:
        """What failed in the first run, and not in that under the kernel's own rule."""
        failed = [name for name in self.tally.failed if not self.off or name not in self.off[0].failed]
        fewer = self.off[0].tests - self.tally.tests if self.off else 0
        return failed + ([f"{fewer} tests were not reached"] if fewer > 0 else [])

    @property
    def beyond_off(self) -> list[str]:
        """What fails here, again if it was run again, and never under the kernel's own rule."""
        return [name for name in self.differs if not self._by_chance(name)]

    @property
    def by_chance(self) -> list[str]:
        """What differed in the first run, and then failed no more here, or failed under the kernel's own rule too."""
        return [name for name in self.differs if self._by_chance(name)]

    def _by_chance(self, name: str) -> bool:
        """Of tests that were not reached the number may be another one."""
        if not name.endswith("not reached"):
            here = [one for one in self.runs[1:] if name in one.failed]
            return any(name in one.failed for one in self.off) or (len(self.runs) > 1 and not here)
        return any(one.tests >= self.off[0].tests for one in self.runs[1:])

    @property
    def splats(self) -> list[str]:
        """Of all."""
        return [splat for one in (*self.runs, *self.off) for splat in one.splats]

    def to_dict(self) -> dict[str, Any]:
        """As `rmaplab kernel test --json` prints it."""
        off = {"off": self.off[0].to_dict()} if self.off else {}
        judged = {"beyond_off": self.beyond_off, "by_chance": self.by_chance, "runs": len(self.runs)}
        return {**self.tally.to_dict(), **off, **judged, "why": self.tally.why}


def run(wish: Wish, boots: Bootable, names: Sequence[str] = NAMES) -> dict[str, Compared]:
    """The programs called `names` in the kernel that was obtained for `wish`. Raises NotAvailable, GuestError."""
    programs = [program for program in PROGRAMS if program.name in names]
    with tempfile.TemporaryDirectory(prefix="rmaplab-selftests-") as scratch:
        built = selftests.build(_source(wish), Path(scratch), programs)
    own = _own_rule(wish)
    return {program.title: _compared(boots, own, built, program) for program in programs}


def _compared(boots: Bootable, own: Bootable | None, built: Mapping[str, bytes], program: Program) -> Compared:
    runs = [selftests.run(boots, built, program)]
    if own is None:
        return Compared(runs)
    off = [selftests.run(own, built, program)]
    if Compared(runs, off).differs:
        for _ in range(_AGAIN):
            runs.append(selftests.run(boots, built, program))
            off.append(selftests.run(own, built, program))
    return Compared(runs, off)


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
