"""What the model's machine shows: every virtual page of every VMA.

For `ModelMachine`. Frames are the model's own numbers; zero pages have a frame but no folio, as on the live machine.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rmaplab.machine.model.physical.memory import Memory
from rmaplab.machine.model.policy import Bit56
from rmaplab.machine.model.space.addressspace import AddressSpace
from rmaplab.machine.model.space.pagetable import GUARD, PMD, SWAP, WP
from rmaplab.machine.observation import GUARD as GUARDED
from rmaplab.machine.observation import NONE, PRESENT, Observation, known_where
from rmaplab.machine.observation import SWAP as SWAPPED
from rmaplab.machine.protocol import PAGE_SIZE
from rmaplab.trace import Verdict


def observe(memory: Memory, spaces: Sequence[AddressSpace]) -> Observation:
    """One element per virtual page. O(pages of all VMAs)."""
    mms, pages, frames, flags = ([np.zeros(0, dtype)] for dtype in (np.int64, np.int64, np.uint32, np.uint8))
    for space in sorted(spaces, key=lambda s: s.mm):
        for vma in space.vmas:
            frame, flag = np.zeros(vma.end - vma.start, np.uint32), np.zeros(vma.end - vma.start, np.uint8)
            for window in space.table.windows(vma.start, vma.end):
                at = window.page - vma.start
                frame[at : at + window.hi - window.lo] = window.leaf.frame[window.lo : window.hi]
                flag[at : at + window.hi - window.lo] = window.leaf.flags[window.lo : window.hi]
            mms.append(np.full(len(frame), space.mm))
            pages.append(np.arange(vma.start, vma.end))
            frames.append(frame)
            flags.append(flag)
    return _joined(memory, *(np.concatenate(parts) for parts in (mms, pages, frames, flags)))


def _joined(
    memory: Memory,
    mm: NDArray[np.int64],
    page: NDArray[np.int64],
    frame: NDArray[np.uint32],
    flags: NDArray[np.uint8],
) -> Observation:
    swapped = flags & SWAP != 0
    guarded = (frame == GUARD) & ~swapped
    present = (frame != 0) & ~swapped & ~guarded
    entry, frame = frame, np.where(present, frame, 0)
    slot = memory.frame["folio"][frame]
    known = AddressSpace.counted(frame)
    count = memory.frame["mapcount"][frame] + memory.folio["entire"][slot]
    return Observation(
        mm=mm,
        address=page * PAGE_SIZE,
        state=np.where(present, PRESENT, np.where(swapped, SWAPPED, np.where(guarded, GUARDED, NONE))),
        frame=known_where(present, frame),
        head=known_where(known, memory.folio["head"][slot]),
        order=known_where(known, memory.folio["order"][slot]),
        mapcount=known_where(known, count),
        mmap_exclusive=known_where(present, known & _alone(memory, frame, flags)),
        anon_exclusive=known_where(known, memory.frame["exclusive"][frame]),
        pmd_mapped=known_where(known, flags & PMD != 0),
        kind=known_where(known, memory.folio["kind"][slot]),
        slot=known_where(swapped, entry),
        uffd_wp=(flags & WP != 0).astype(np.int64),
    )


def _alone(memory: Memory, frame: NDArray[np.uint32], flags: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """What pagemap's bit 56 says of every frame that is a folio's."""
    slot = memory.frame["folio"][frame]
    bit = memory.policy.bit_56
    if bit is Bit56.FOLIO:
        flag: NDArray[np.bool_] = memory.verdicts(slot, 0)[0] == Verdict.EXCLUSIVE  # whoever asks
        return flag
    huge = (flags & PMD != 0) & (bit is Bit56.FIRST_PAGE)
    asked = np.where(huge, memory.folio["head"][slot], frame)
    alone: NDArray[np.bool_] = memory.frame["mapcount"][asked] + memory.folio["entire"][slot] == 1
    return alone
