"""What differs between kernels, as data: who is asked "exclusive or shared?", and what follows from the answer.

For `ModelMachine(kernel=...)` and the comparison of kernels. The model's code asks a policy and never a name: a
future kernel is one more entry of `KERNELS`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from rmaplab.machine.protocol import BadOperation
from rmaplab.names import must_be
from rmaplab.schemes import SCHEMES, Scheme
from rmaplab.trace import Verdict

UNSEEN: Final = "nobody booted it here"


class LargeCow(StrEnum):
    """When a write fault may keep a page of a PTE-mapped large anonymous folio that is not AnonExclusive."""

    NEVER = "never"
    SOLE_REFERENCE = "sole reference"
    """The folio has one reference left: the faulting PTE's."""
    EXCLUSIVE = "exclusive"
    """The scheme says EXCLUSIVE and every reference is a mapping."""


class Phase(StrEnum):
    """One of the counters an rmap update changes; a policy orders them, and observers see each."""

    REFS = "refs"
    PAGES = "page mapcounts"
    MAPCOUNT = "mapcount"
    VALUES = "values"
    """The state of the policy's scheme."""


class Bit56(StrEnum):
    """Which map count pagemap's bit 56 ("exclusively mapped") goes by."""

    PAGE = "page"
    """The page's own (up to 6.14)."""
    FIRST_PAGE = "first page"
    """The page's own, but where a PMD maps it that of the folio's first page (6.15 and later)."""
    FOLIO = "folio"
    """None of a page: the folio's answer to "maybe shared?"."""


@dataclass(frozen=True, slots=True)
class KernelPolicy:
    """One kernel's rules. Every field but `name`, `title` and `confirmed` is a rule; defaults are those of Linux 6.18.

    `confirmed`: the kernels that were booted and held against these rules by random programs, "" if nobody did.
    `scheme` answers for large folios; `unknown` is what an UNKNOWN counts as. `mapping` and `unmapping` give the order
    in which counters change.

    COW: `frees_lone_page`: a large folio of which one page is mapped is copied, never reused, so that it is freed the
    sooner. `huge_zero_cow`: writing to the huge zero folio gives a THP, not small pages.
    Advice: `unmapped_first_is_shared`: a folio whose first page is not mapped counts as shared. `whole_splits`:
    MADV_COLD, MADV_FREE and MADV_PAGEOUT split also a folio that PTEs map whole. `shared_ends_walk`: a shared large folio
    ends the walk through its block. `split_keeps_zeroes`: pages of zeroes stay when a folio is split.
    `guards`: there are guard pages; `guards_need_anon_vma`: VMAs with guards get an anon_vma, else a flag for fork.
    `uffd_wp_async`: userfaultfd protects without a handler (6.7).
    `collapse_needs_writable`: a block none of whose pages is mapped writable is not collapsed.
    `khugepaged_spares_lazy`: nor is one with lazily freed pages, by khugepaged.
    `empties_tables`: MADV_DONTNEED of a whole block frees its table of PTEs, so that a THP fits again.
    Faults: `mthp`: anonymous memory gets folios between a page and a PMD. `around_maps_whole`: fault-around maps all of
    a large folio, also what lies beyond the 64 KiB. `disk_maps_whole`, `shmem_maps_whole`: a fault maps all of a large
    folio of a disk file, of shmem, else one page. `shmem_swaps_large`: shmem comes back from swap in folios as it left.
    `pins_disk_files`: a shared mapping of a disk file may be pinned for long. `moves_several`: mremap moves several
    VMAs at once. `cuts_to_pages`: a folio of a file that loses a part becomes small ones, not the largest that will do.
    `dontunmap_splits`: MREMAP_DONTUNMAP makes what moves of locked memory a VMA of its own before it unlocks that.
    `swapin_keeps_folios`: all swap-in goes through the swap cache, in large folios also where others have entries; the
    cache lets a folio go with its last entry, and the entry's mark alone makes a page exclusive.
    `swap_fills_free`: a folio's swap slots come from a free cluster if there is one, not from one that is partly used.
    `collapses_disk`: MADV_COLLAPSE works on files of a disk file system. `collapse_skips_empty`: it goes on after a block
    with nothing in its PMD, and has nothing against a range without a whole block.
    `collapse_makes_tables`: MADV_COLLAPSE of shmem maps where the 1 GiB around has no page tables yet.
    `disk_large`: ext4 reads into large folios (6.16).
    `bit_56`: see there.
    """

    name: str
    title: str
    scheme: Scheme
    large_cow: LargeCow
    confirmed: str = ""
    frees_lone_page: bool = True
    huge_zero_cow: bool = True
    unmapped_first_is_shared: bool = False
    whole_splits: bool = False
    shared_ends_walk: bool = False
    split_keeps_zeroes: bool = False
    guards: bool = True
    guards_need_anon_vma: bool = True
    uffd_wp_async: bool = True
    collapse_needs_writable: bool = False
    khugepaged_spares_lazy: bool = False
    empties_tables: bool = True
    mthp: bool = True
    around_maps_whole: bool = True
    disk_maps_whole: bool = True
    shmem_maps_whole: bool = True
    shmem_swaps_large: bool = True
    pins_disk_files: bool = False
    moves_several: bool = True
    cuts_to_pages: bool = False
    dontunmap_splits: bool = False
    swapin_keeps_folios: bool = False
    swap_fills_free: bool = False
    disk_large: bool = True
    collapses_disk: bool = False
    collapse_skips_empty: bool = False
    collapse_makes_tables: bool = True
    bit_56: Bit56 = Bit56.FIRST_PAGE
    unknown: Verdict = Verdict.SHARED
    mapping: tuple[Phase, ...] = (Phase.REFS, Phase.VALUES, Phase.MAPCOUNT, Phase.PAGES)
    unmapping: tuple[Phase, ...] = (Phase.VALUES, Phase.MAPCOUNT, Phase.PAGES, Phase.REFS)

    @property
    def standing(self) -> str:
        """Whether a kernel was seen to behave so: for wherever the name is shown."""
        return f"held against {self.confirmed}" if self.confirmed else UNSEEN


def _known() -> dict[str, KernelPolicy]:
    newest = KernelPolicy(
        "linux-7.x",
        "two MM slots and a flag",
        SCHEMES["mm-id"],
        LargeCow.EXCLUSIVE,
        "7.3.4",
        guards_need_anon_vma=False,
        khugepaged_spares_lazy=True,
        dontunmap_splits=True,
        collapses_disk=True,
        collapse_skips_empty=True,
        swapin_keeps_folios=True,
    )
    old = replace(
        newest,
        name="linux-6.12",
        title="never reuses a part of a THP",
        confirmed="6.12.117",
        scheme=SCHEMES["likely-shared"],
        large_cow=LargeCow.NEVER,
        frees_lone_page=False,
        huge_zero_cow=False,
        guards=False,
        collapse_needs_writable=True,
        khugepaged_spares_lazy=False,
        empties_tables=False,
        around_maps_whole=False,
        disk_maps_whole=False,
        shmem_swaps_large=False,
        moves_several=False,
        cuts_to_pages=True,
        disk_large=False,
        collapse_makes_tables=False,
        swap_fills_free=True,
        collapses_disk=False,
        collapse_skips_empty=False,
        swapin_keeps_folios=False,
        bit_56=Bit56.PAGE,
    )
    older = replace(
        old,
        name="linux-6.6",
        title="guesses from the first page",
        confirmed="",
        scheme=SCHEMES["estimated-sharers"],
        large_cow=LargeCow.SOLE_REFERENCE,
        uffd_wp_async=False,
        unmapped_first_is_shared=True,
        whole_splits=True,
        shared_ends_walk=True,
        split_keeps_zeroes=True,
        mthp=False,
        shmem_maps_whole=False,
    )
    policies = (
        replace(older, name="linux-6.1", pins_disk_files=True),
        older,
        old,
        replace(
            newest,
            name="linux-6.18",
            confirmed="6.18.44",
            guards_need_anon_vma=True,
            khugepaged_spares_lazy=False,
            dontunmap_splits=False,
            collapses_disk=False,
            collapse_skips_empty=False,
            swapin_keeps_folios=False,
        ),
        newest,
        replace(newest, name="rfc-2026", title="as 6.18, without map counts per page", confirmed="", bit_56=Bit56.FOLIO),
        KernelPolicy("series-2023", "rmap IDs as posted", SCHEMES["generations"], LargeCow.EXCLUSIVE, "", False, False),
    )
    return {policy.name: policy for policy in policies}


kernels: Final[Mapping[str, KernelPolicy]] = _known()
"""Kernels by name. `precise:SCHEME` and `precise:SCHEME@KERNEL` are not listed: see `policy_of`."""

_RULES: Final = "linux-6.18"
"""Whose rules `precise:SCHEME` has but for the question."""


def precise(scheme: Scheme, rules: str = _RULES) -> KernelPolicy:
    """The kernel `rules` in everything but the question, which goes to `scheme`."""
    known = kernels[rules]
    name = f"precise:{scheme.name}" if rules == _RULES else f"precise:{scheme.name}@{rules}"
    title = f"{'Linux ' + rules.removeprefix('linux-') if rules.startswith('linux-') else rules} asking {scheme.name}"
    return replace(known, name=name, title=title, scheme=scheme, large_cow=LargeCow.EXCLUSIVE, confirmed="")


def policy_of(kernel: str) -> KernelPolicy:
    """The policy called `kernel`; raises BadOperation for a name nobody knows."""
    kind, colon, asked = kernel.partition(":")
    if colon and kind == "precise":
        scheme, at, rules = asked.partition("@")
        if scheme not in SCHEMES:
            raise BadOperation("kernel", kernel, f"no scheme has this name, {must_be(scheme, SCHEMES)}")
        if at and rules not in kernels:
            raise BadOperation("kernel", kernel, must_be(rules, kernels))
        return precise(SCHEMES[scheme], rules or _RULES)
    if kernel not in kernels:
        raise BadOperation("kernel", kernel, must_be(kernel, kernels, " or precise:SCHEME"))
    return kernels[kernel]
