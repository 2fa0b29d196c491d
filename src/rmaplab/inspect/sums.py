"""What a row of the inspector is made of: sizes of a group of mappings, what is no folio's, and how far to trust it.

For `rmaplab.inspect.views` and `groups`. A group is any set of mappings (extents): a process', a VMA's, a file's.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rmaplab.inspect.disagree import LargeFolios
from rmaplab.inspect.extents import ABSENT
from rmaplab.inspect.join import Index
from rmaplab.inspect.sharing import Sharing
from rmaplab.inspect.snapshot import Snapshot
from rmaplab.inspect.tally import COLUMNS, Table, tally

Row = dict[str, Any]

_SHOWN: Final = tuple(c for c in COLUMNS if c != "kernel_exclusive")


@dataclass(frozen=True, slots=True)
class Scope:
    """What is shown: a snapshot, the kernel's state of its large folios, whether addresses may be, of which VMAs
    (bool, per VMA; None: all) the mappings count, and whether smaps is read beside it, which holds a process up."""

    snapshot: Snapshot
    large: LargeFolios | None = None
    addresses: bool = False
    mappings: NDArray[np.bool_] | None = None
    smaps: bool = True


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over groups of mappings. `wrong`: bytes taken for shared by the kernel though one MM maps them; `unseen`:
    somebody maps them whose page table was not seen; `doubtful`: sizes that do not add up with the kernel's counts.
    `general`: a reason concerns all rows. The last element of each array is of no group."""

    table: Table
    absent: dict[str, Index]
    wrong: Index
    unseen: Index
    doubtful: Index
    general: bool
    page_size: int

    @classmethod
    def of(cls, scope: Scope, of_vma: Index, groups: int, sharing: Sharing | None = None) -> "Sums":
        """`of_vma` (int64) names the group of each VMA, -1: none. `sharing` stands in for the snapshot's."""
        snapshot, large, account = scope.snapshot, scope.large, scope.snapshot.account
        if scope.mappings is not None:
            of_vma = np.where(scope.mappings, of_vma, -1)
        of_vma = np.where(of_vma < 0, groups, of_vma)
        sharing = sharing or snapshot.sharing
        group, size = of_vma[sharing.extents.vma], groups + 1
        wrong = np.zeros(0, np.int64) if large is None else large.row[large.false_shared]
        return cls(
            tally(sharing, group, size),
            {
                name: (np.bincount(of_vma, snapshot.absent_pages(name), size) * snapshot.page_size).astype(np.int64)
                for name in ABSENT
            },
            _bytes_of(snapshot, wrong, group, size),
            _bytes_of(snapshot, account.more, group, size),
            _bytes_of(snapshot, account.missized, group, size),
            snapshot.exactness.general,
            snapshot.page_size,
        )

    def row(self, index: int) -> Row:
        """Sizes in bytes; the zero page counts with zero folios (huge ones)."""
        sizes = {name: round(float(self.table[name][index]) * self.page_size) for name in _SHOWN}
        more = {name: int(column[index]) for name, column in self.absent.items()}
        return sizes | more | {"zero": sizes["zero"] + more["zero"]}

    def trust(self, index: int) -> Row:
        """Columns that say how far a row's numbers can be trusted."""
        exact = not (self.general or self.doubtful[index])
        return {
            "false_shared": int(self.wrong[index]),
            "unseen": int(self.unseen[index]),
            "exactness": "exact" if exact else "estimate",
        }


def _bytes_of(snapshot: Snapshot, folios: Index, group: Index, groups: int) -> Index:
    """Bytes that each group maps of the folios `folios` (rows), as often as it maps them."""
    if not len(folios):
        return np.zeros(groups, np.int64)
    sharing = snapshot.sharing
    wanted = np.zeros(len(sharing.folios), np.bool_)
    wanted[folios] = True
    sums = np.zeros(groups)
    for part in sharing.rows(wanted):
        chosen = wanted[part.folio]
        sums += np.bincount(group[part.extent[chosen]], part.pages[chosen], groups)
    return (sums * snapshot.page_size).round().astype(np.int64)
