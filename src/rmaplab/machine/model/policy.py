"""What differs between kernels, as data: who is asked "exclusive or shared?", and what follows from the answer.

For `ModelMachine(kernel=...)` and the comparison of kernels. The model's code asks a policy and never a name: a
future kernel is one more entry of `KERNELS`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from rmaplab.machine.protocol import BadOperation
from rmaplab.schemes import SCHEMES, Scheme
from rmaplab.trace import Verdict


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


@dataclass(frozen=True, slots=True)
class KernelPolicy:
    """One kernel's rules.

    `scheme` answers for large folios; `unknown` is what an UNKNOWN counts as. `frees_lone_page`: a large folio of
    which one page is mapped is copied, never reused, so that it is freed the sooner. `huge_zero_cow`: writing to
    the huge zero folio gives a THP, not small pages. `mapping` and `unmapping` give
    the order in which counters change.
    """

    name: str
    title: str
    scheme: Scheme
    large_cow: LargeCow
    frees_lone_page: bool = False
    huge_zero_cow: bool = False
    unknown: Verdict = Verdict.SHARED
    mapping: tuple[Phase, ...] = (Phase.REFS, Phase.VALUES, Phase.MAPCOUNT, Phase.PAGES)
    unmapping: tuple[Phase, ...] = (Phase.VALUES, Phase.MAPCOUNT, Phase.PAGES, Phase.REFS)


def _known() -> dict[str, KernelPolicy]:
    policies = (
        KernelPolicy("linux-6.6", "guesses from the first page", SCHEMES["estimated-sharers"], LargeCow.SOLE_REFERENCE),
        KernelPolicy("linux-6.12", "never reuses a part of a THP", SCHEMES["likely-shared"], LargeCow.NEVER),
        KernelPolicy(
            "linux-6.18",
            "two MM slots and a flag",
            SCHEMES["mm-id"],
            LargeCow.EXCLUSIVE,
            frees_lone_page=True,
            huge_zero_cow=True,
        ),
        KernelPolicy("series-2023", "rmap IDs as posted", SCHEMES["generations"], LargeCow.EXCLUSIVE),
    )
    return {policy.name: policy for policy in policies}


kernels: Final[Mapping[str, KernelPolicy]] = _known()
"""Kernels by name. `precise:SCHEME` is not listed: see `policy_of`."""


def precise(scheme: Scheme) -> KernelPolicy:
    """Linux 6.18 in everything but the question, which goes to `scheme`."""
    return KernelPolicy(
        f"precise:{scheme.name}",
        f"Linux 6.18 asking {scheme.name}",
        scheme,
        LargeCow.EXCLUSIVE,
        frees_lone_page=True,
        huge_zero_cow=True,
    )


def policy_of(kernel: str) -> KernelPolicy:
    """The policy called `kernel`; raises BadOperation for a name nobody knows."""
    kind, colon, scheme = kernel.partition(":")
    if colon and kind == "precise":
        try:
            return precise(SCHEMES[scheme])
        except KeyError:
            raise BadOperation("kernel", kernel, "no scheme has this name") from None
    if kernel not in kernels:
        raise BadOperation("kernel", kernel, f"must be one of {', '.join(kernels)} or precise:SCHEME")
    return kernels[kernel]
