"""Which files under /sys/kernel/mm/transparent_hugepage must say what, so that a fault gets folios of one order.

For `LiveMachine`; the warden does the writing. Nothing here changes anything.
"""

from pathlib import Path
from typing import Final, Literal

from rmaplab.machine.protocol import PAGE_SIZE, PMD_ORDER

THP = Path("/sys/kernel/mm/transparent_hugepage")
KHUGEPAGED = THP / "khugepaged"

_FILES: Final = {"anon": "enabled", "shmem": "shmem_enabled"}
_ON: Final = {"anon": ["madvise", "always"], "shmem": ["advise", "always", "within_size", "force"]}


def chosen(path: Path) -> str:
    """The bracketed word of a file like `always [madvise] never`, "" if there is no such file."""
    try:
        text = path.read_text()
    except OSError:
        return ""
    return text.partition("[")[2].partition("]")[0]


def orders(backing: Literal["anon", "shmem"]) -> list[int]:
    """The folio orders the kernel can be told to use for faults in such memory, ascending."""
    found = []
    for path in THP.glob(f"hugepages-*kB/{_FILES[backing]}"):
        size = int(path.parent.name.removeprefix("hugepages-").removesuffix("kB")) * 1024
        found.append((size // PAGE_SIZE).bit_length() - 1)
    return sorted(found)


def words(backing: Literal["anon", "shmem"], order: int) -> dict[str, list[str]]:
    """File below THP: the words that will do, so that faults under MADV_HUGEPAGE use `order` and no other.

    A size that inherits a global setting that will do is left alone: changing it would wake khugepaged.
    """
    name = _FILES[backing]
    inherits = chosen(THP / name) in _ON[backing]
    on = _ON[backing] + (["inherit"] if inherits else [])
    off = ["never"] + ([] if inherits else ["inherit"])
    return {f"hugepages-{PAGE_SIZE << size >> 10}kB/{name}": on if size == order else off for size in orders(backing)}


def khugepaged_words(max_none: int, max_swap: int, max_shared: int) -> dict[str, list[str]]:
    """File below THP: the words under which khugepaged hurries through anonymous memory and collapses what keeps to these
    limits, to THPs only. Files a kernel lacks are left out."""
    shmem = f"hugepages-{PAGE_SIZE << PMD_ORDER >> 10}kB/shmem_enabled"
    wanted = {
        **words("anon", PMD_ORDER),
        "shmem_enabled": ["never", "deny"],
        shmem: ["inherit", "never"],
        "khugepaged/defrag": ["1"],
        "khugepaged/max_ptes_none": [str(max_none)],
        "khugepaged/max_ptes_swap": [str(max_swap)],
        "khugepaged/max_ptes_shared": [str(max_shared)],
        "khugepaged/pages_to_scan": ["1000000"],
        "khugepaged/alloc_sleep_millisecs": ["1"],
        "khugepaged/scan_sleep_millisecs": ["1"],
    }
    return {name: choice for name, choice in wanted.items() if (THP / name).exists()}


def collapse_words() -> dict[str, list[str]]:
    """File below THP: the words under which MADV_COLLAPSE works on any shmem (shmem_allowable_huge_orders()).

    A size that inherits listens to nobody but the call itself, as long as the global setting does not deny.
    """
    size = f"hugepages-{PAGE_SIZE << PMD_ORDER >> 10}kB/shmem_enabled"
    return {"shmem_enabled": ["never", "advise", "within_size", "always", "force"], size: ["inherit"]}
