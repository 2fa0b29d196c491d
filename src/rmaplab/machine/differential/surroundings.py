"""Who else uses what a random program needs for itself: other people's KSM, other people's swap.

For the runner and the campaign. A live machine is alone among live machines; a QEMU that starts midway, or an
administrator's swapon, asks nobody. What such a program shows says nothing about the model.
"""

from collections.abc import Collection
from typing import Final

from rmaplab.machine.live.workers import ksm, swap

SURROUNDINGS: Final = "surroundings"
"""What begins the reason where others on the system are it: these steps count as set aside, but fail nothing."""


def others(ours: Collection[int], *, merges: bool, swaps: bool) -> str:
    """Why a program of the processes `ours` cannot be compared now, "" if nothing speaks against it. `merges`: it has
    mergeable memory; `swaps`: it has a swap device."""
    if merges and set(ksm.users()) - set(ours):
        return f"{SURROUNDINGS}: KSM"
    if swap.SWAPS.exists() and len(swap.SWAPS.read_bytes().splitlines()) - 1 > int(swaps):
        return f"{SURROUNDINGS}: swap"
    return ""
