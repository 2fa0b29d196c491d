"""What `rmaplab kernel test` does: a kernel's COW table beside its scheme's Python twin, and the model held against it.

For the command. The twin answers for the same tree played on the model, with a kernel that never keeps a page: what it
would have kept is what the scheme knows.
"""

import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Final, Literal

from rmaplab.errors import NotAvailable
from rmaplab.judge import judge
from rmaplab.kernels import cow
from rmaplab.kernels.entries import KERNELS, Wish
from rmaplab.kernels.guest import Guest
from rmaplab.kernels.obtain import Bootable
from rmaplab.kernels.qemu import Hardware
from rmaplab.machine.choose import open_machine
from rmaplab.machine.protocol import PAGE_SIZE
from rmaplab.scenarios import Parameters, find
from rmaplab.schemes import select
from rmaplab.trials.features import Feature

_COPIES: Final = "linux-6.12"
"""A policy under which the model asks about every page and keeps none."""

KNOWS_FROM_OUTSIDE: Final = ("moments", "moments+exclusive", "moments+exclusive-add", "packed", "moments-flag")
"""Schemes that tell one MM from several for whoever asks: `generations` needs the MM that might be the one."""

_PATIENCE: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Judged:
    """A row of the COW table, and `twin_pages`: what the scheme's twin would have reused."""

    row: cow.Row
    twin_pages: int

    @property
    def avoidable_pages(self) -> int:
        """Copied, although the twin would have reused them."""
        return max(0, self.twin_pages - self.row.reused_pages)

    @property
    def beyond_twin(self) -> bool:
        """The kernel reused what its twin calls shared."""
        return self.row.mms > 1 and self.row.reused_pages > self.twin_pages

    def to_dict(self) -> dict[str, Any]:
        """The row as `rmaplab kernel test --json` prints it."""
        return {**asdict(self.row), "avoidable_pages": self.avoidable_pages}


def judged(rows: Sequence[cow.Row], scheme: str | None) -> list[Judged]:
    """Each row beside the twin of `scheme`; without one (a kernel with its own rule) beside the truth."""
    twin = "truth" if scheme in (None, "off") else _twin(str(scheme))
    return [Judged(row, twin_pages(row.topology, row.mms, row.order, row.survivor, twin)) for row in rows]


def _twin(scheme: str) -> str:
    """The scheme that answers: how its writers lock (`moments+exclusive`) changes no answer."""
    return scheme.partition("+")[0]


@cache
def twin_pages(topology: Literal["star", "chain"], mms: int, order: int, survivor: int, scheme: str) -> int:
    """Pages of the folio that `scheme` calls exclusive when its survivor writes them, others gone."""
    if mms == 1:
        return 1 << order
    size = PAGE_SIZE << order
    parameters = Parameters(size=size, order=order, k=mms - 1, survivor=survivor - 1)
    with open_machine("model", _COPIES) as machine:
        trace = find("prefork" if topology == "star" else "chain").play(machine, parameters)
    saved = judge(trace, select([scheme])).schemes[scheme].saved.pages
    assert saved is not None, "the model sees every fault"
    return saved


def folio_bytes(scheme: str | None, order: int) -> int | None:
    """Bytes that `scheme` keeps for a folio of `order`, mapcount and all, in struct pages that are there anyway.

    None for a small folio, and for a kernel's own rule, which is not known here.
    """
    if scheme in (None, "off") or not order:
        return None
    return select([_twin(str(scheme))])[0].layout(order).bytes


def policy(wish: Wish) -> str:
    """The model's policy that a kernel should behave like. Raises NotAvailable for a directory without a scheme."""
    if wish.scheme is not None and wish.scheme != "off":
        rules = f"@{KERNELS[str(wish.kernel)].policy}" if wish.kernel in KERNELS else ""
        return f"precise:{_twin(wish.scheme)}{rules}"
    if wish.kernel not in KERNELS:
        raise NotAvailable(
            f"{wish}: the differential test needs a known kernel or a scheme: which rules it has is unknown"
        )
    return KERNELS[str(wish.kernel)].policy


def features(boots: Bootable) -> list[Feature]:
    """What of this tool works in the guest. Raises NotAvailable, GuestError."""
    command = [sys.executable, "-m", "rmaplab.trials.features"]
    with Guest(boots.image, shlex.join(command), Hardware(memory=3072), boots.append, err=passed) as guest:
        ended = guest.wait(_PATIENCE)
    if not ended.out:
        raise NotAvailable(f"{boots.image.title}: nothing could be tried there (status {ended.status})")
    return [Feature(**one) for one in json.loads(ended.out)]


def passed(data: bytes) -> None:
    """What a command in a guest writes to stderr goes to ours."""
    sys.stderr.buffer.write(data)
    sys.stderr.flush()
