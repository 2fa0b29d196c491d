"""References that GUP takes on pages: for a while, as a pipe holds them, or FOLL_PINs for long, as a device does.

For the model's processes, which keep the pins and give them back.
"""

from dataclasses import dataclass, field

import numpy as np

from rmaplab.machine.model.faults import fault
from rmaplab.machine.model.physical.memory import Frames
from rmaplab.machine.model.space.addressspace import AddressSpace
from rmaplab.machine.protocol import BadOperation


@dataclass(frozen=True, slots=True, eq=False)
class ModelPin:
    """References on the folios in `slots` (one element a page); `longterm`: FOLL_PINs."""

    pages: int
    longterm: bool
    slots: Frames = field(repr=False)


def hold(space: AddressSpace, start: int, end: int) -> Frames:
    """Read [start, end) and take a reference on each page; the folio behind each."""
    fault.read(space, start, end)
    slots = space.folios(start, end)
    space.memory.hold(slots)
    return slots


def pin_longterm(space: AddressSpace, start: int, end: int) -> Frames:
    """Take a FOLL_PIN on each page of [start, end), for writing; the folio behind each.

    Raises BadOperation: a file system that wants to know of every write allows no lasting pin of its shared pages
    (writable_file_mapping_allowed() in mm/gup.c).
    """
    vmas = space.vmas.within(start, end)
    if not space.memory.policy.pins_disk_files and any(vma.shared and vma.on_disk for vma in vmas):
        raise BadOperation("pin", "longterm", "a shared mapping of a disk file cannot be pinned for long")
    return np.concatenate([_pin_page(space, page) for page in range(start, end)])


def _pin_page(space: AddressSpace, page: int) -> Frames:
    """GUP goes page by page: the pin on one page is an extra reference to the COW fault on the next."""
    fault.populate_write(space, page, page + 1, touch=False)
    slots = space.folios(page, page + 1)
    space.memory.hold(slots, longterm=True)
    return slots
