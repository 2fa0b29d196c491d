"""The refuted configuration in a booted kernel: does one process read what another wrote?

For `rmaplab kernel test`. The program makes the MMs that `rmaplab refute generations --order 9` finds.
"""

import re
from dataclasses import dataclass
from typing import Final

from rmaplab.kernels.cow import compiled
from rmaplab.kernels.guest import PATIENCE, Guest, GuestError
from rmaplab.kernels.obtain import Bootable
from rmaplab.kernels.patch import sources
from rmaplab.kernels.qemu import Hardware

_SAID: Final = re.compile(r"MM (\d+) wrote a page that MM (\d+) maps: (reused|copied); MM \d+ reads '(.)'")


@dataclass(frozen=True, slots=True)
class Witness:
    """`writer` wrote a page that `reader` maps too. `leaked`: the kernel kept it, and `reader` reads what was written."""

    writer: int
    reader: int
    reused: bool
    leaked: bool
    splats: tuple[str, ...]


def witness(boots: Bootable) -> Witness:
    """Boot, make the MMs, write. Raises NotAvailable (the kernel has no rmap IDs to be chosen), GuestError."""
    files = {"lab/witness": compiled(sources() / "kernel" / "selftests" / "witness.c")}
    with Guest(boots.image, "/lab/witness", Hardware(1024, root=False, disk=False), boots.append, files) as guest:
        ended = guest.wait(PATIENCE)
    said = _SAID.search(ended.out.decode(errors="replace"))
    if not said:
        complaint = ended.err.decode(errors="replace").strip()
        raise GuestError(f"{boots.image.title}: the witness ended with {ended.status}: {complaint}")
    return Witness(int(said[1]), int(said[2]), said[3] == "reused", ended.status == 1, tuple(ended.splats))
