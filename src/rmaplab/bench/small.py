"""Does a small folio pay for the tracking of large ones? Its path, instruction by instruction.

For `rmaplab bench` and the tests. One function serves small and large folios; a small one takes the branch that
Linux always had. The path is single-stepped under every scheme and compared with the path of a function that knows
no tracking: same number of instructions, at the same offsets, each with the same first byte.
"""

from dataclasses import dataclass
from typing import Final

from rmaplab.core import Folios, Variant, load, variants

UNTRACKED: Final = -1
_LONGEST: Final = 64


@dataclass(frozen=True)
class SmallPath:
    """Instructions that mapping or unmapping one small folio executes under a scheme, as (offset, first byte)."""

    scheme: str
    unmap: bool
    steps: tuple[tuple[int, int], ...]
    untracked: tuple[tuple[int, int], ...]

    @property
    def extra(self) -> int:
        """Instructions more than without tracking."""
        return len(self.steps) - len(self.untracked)

    @property
    def same(self) -> bool:
        """The same instructions at the same places?"""
        return self.steps == self.untracked


def small_paths() -> list[SmallPath]:
    """For every scheme, map and unmap; empty where instructions cannot be single-stepped."""
    found = []
    for unmap in (False, True):
        before = _path(UNTRACKED, unmap)
        for name, variant in variants().items():
            steps = _path(variant.number, unmap)
            if before and steps:
                found.append(SmallPath(name, unmap, steps, before))
    return found


def _path(number: int, unmap: bool) -> tuple[tuple[int, int], ...]:
    core = load()
    folios = Folios(Variant("small", 0), 0, 1, [1])
    out = core.ffi.new("uint64_t[]", _LONGEST)
    count = core.lib.rmap_small_path(number, int(unmap), folios.folio(0), folios.mm(0), out, _LONGEST)
    return tuple((out[i] & 0xFFFFFFFF, out[i] >> 32) for i in range(max(count, 0)))
