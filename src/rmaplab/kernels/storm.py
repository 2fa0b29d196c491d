"""Whatever changes who maps a folio, at once, on several CPUs: and the kernel's counters held against all page tables.

For `rmaplab kernel test`. Best in a kernel with its own checkers (`debug`): what those say is in `splats`.
"""

from dataclasses import asdict, dataclass
from typing import Any, Final

from rmaplab.errors import NotAvailable
from rmaplab.kernels.cow import compiled
from rmaplab.kernels.guest import PATIENCE, Guest, GuestError
from rmaplab.kernels.obtain import Bootable
from rmaplab.kernels.patch import sources
from rmaplab.kernels.qemu import Hardware

_CANNOT_LOOK: Final = 3
_PROCESSES: Final = 8


@dataclass(frozen=True, slots=True)
class Storm:
    """What came of it. At `quiet_points` all processes stood still and `folios` large folios were looked at, `several` of
    them mapped by more than one MM. Wrong were so many mapcounts, answers "one MM's" and "shared", and pages of data."""

    quiet_points: int
    folios: int
    several: int
    wrong_mapcounts: int
    false_exclusive: int
    false_shared: int
    wrong_data: int
    operations: dict[str, int]
    splats: tuple[str, ...]

    @property
    def is_wrong(self) -> bool:
        """Something that no kernel may do. Calling one MM's folio shared is not: two slots cannot know better."""
        return bool(self.wrong_mapcounts or self.false_exclusive or self.wrong_data)

    def to_dict(self) -> dict[str, Any]:
        """As `rmaplab kernel test --json` prints it."""
        return {**asdict(self), "splats": list(self.splats)}


def storm(boots: Bootable, seconds: int, seed: int) -> Storm:
    """Boot with two CPUs and two NUMA nodes, and let it rage so long. Raises NotAvailable, GuestError."""
    script = f"""
        echo 512M >/sys/block/zram0/disksize && mkswap /dev/zram0 >/dev/null && swapon /dev/zram0
        /lab/storm {seconds} {_PROCESSES} {seed}
    """
    hardware = Hardware(memory=2048, cpus=2, root=False, disk=False, nodes=2)
    files = {"lab/storm": compiled(sources() / "kernel" / "selftests" / "storm.c")}
    append = f"{boots.append} numa=fake={hardware.nodes}"  # for a kernel without ACPI, to which QEMU's nodes are unknown
    with Guest(boots.image, script, hardware, append, files) as guest:
        ended = guest.wait(PATIENCE + 60 * seconds)
    said, complaints = ended.out.decode().split(), ended.err.decode(errors="replace").strip()
    if ended.status == _CANNOT_LOOK:
        raise NotAvailable(f"{boots.image.title}: the storm: {complaints}")
    if not said:
        raise GuestError(f"{boots.image.title}: the storm ended with {ended.status}: {complaints[-300:]}")
    numbers = dict(zip(said[::2], map(int, said[1::2]), strict=True))
    return Storm(
        quiet_points=numbers.pop("quiet"),
        folios=numbers.pop("folios"),
        several=numbers.pop("several"),
        wrong_mapcounts=numbers.pop("mapcount"),
        false_exclusive=numbers.pop("exclusive"),
        false_shared=numbers.pop("shared"),
        wrong_data=numbers.pop("data"),
        operations=numbers,
        splats=tuple(ended.splats),
    )
