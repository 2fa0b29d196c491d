"""The inspector's page, self-contained: bars, family tree and matrix of who shares, down to a map with a cell a folio.

For `rmaplab inspect --html`. The page (inspect_page.html) fetches nothing, and puts every name into the document as
text, never as markup. A folio costs about 18 bytes of it.
"""

from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rmaplab.inspect.family import parents
from rmaplab.inspect.folios import COUNTED, KINDS
from rmaplab.inspect.look import Look
from rmaplab.inspect.processes import command_line
from rmaplab.inspect.sharing import Mappings
from rmaplab.report.inspect_table import footer, size, trust
from rmaplab.text import for_page

FALSE_SHARED, PARTIAL, PMD, KNOWN, MAYBE_SHARED, NEEDLESS, UNSEEN, DOUBTFUL = 1, 2, 4, 8, 16, 32, 64, 128


def render(look: Look) -> str:
    """The page as text."""
    return page_of(page_data(look))


def page_of(data: dict[str, Any]) -> str:
    """The page with `data`, which is as `page_data` makes it."""
    template = files("rmaplab.report").joinpath("inspect_page.html").read_text(encoding="utf-8")
    return template.replace("@DATA@", for_page(data))


def page_data(look: Look) -> dict[str, Any]:
    """What the page knows: per folio order, kind, mapped pages, mappings, flags, the name of a VMA that maps it, and the
    set of its MMs; the sets."""
    snapshot, sharing = look.snapshot, look.snapshot.sharing
    shown = np.flatnonzero(sharing.folios.kind < COUNTED)
    mappings = sharing.mappings()
    which, sets = mm_sets(mappings, len(sharing.folios))
    mapcount = np.bincount(mappings.folio, mappings.mapcount, len(sharing.folios)).astype(np.int64)
    part = sharing.folios[shown]
    resident = int(sharing.mapped[shown].sum()) * snapshot.page_size
    alone = int(sharing.mapped[shown][sharing.owners[shown] == 1].sum()) * snapshot.page_size
    used = sorted({mm for members in sets for mm in members})
    place = {mm: index for index, mm in enumerate(used)}
    asked_for = set(snapshot.targets.tolist())
    parent = parents(snapshot)
    vma = sharing.extents.vma[sharing.first_extents(snapshot.targets)[shown]]
    names: dict[str, int] = {}
    named = np.array([names.setdefault(name or "(anonymous)", len(names)) for name in snapshot.vmas.name], np.int64)
    data = {
        "page_size": snapshot.page_size,
        "kinds": KINDS[:COUNTED],
        "processes": [
            {
                "pid": snapshot.mms[mm].leader.pid,
                "name": snapshot.mms[mm].leader.name,
                "asked": mm in asked_for,
                "parent": place.get(int(parent[mm]), -1),
                "command": command_line(snapshot.mms[mm].leader.tid) if mm in asked_for else "",
            }
            for mm in used
        ],
        "sets": [[place[mm] for mm in members] for members in sets],
        "set": which[shown].tolist(),
        "mapping": named[vma].tolist(),
        "mappings": list(names),
        "order": part.order.tolist(),
        "kind": part.kind.tolist(),
        "mapped": sharing.mapped[shown].tolist(),
        "mapcount": mapcount[shown].tolist(),
        "flags": _flags(look, mappings)[shown].tolist(),
        "summary": f"{len(shown)} folios, {size(resident)} mapped: {size(alone)} exclusively by one address space,"
        f" {size(resident - alone)} shared",
        "trust": trust(look),
        "notes": [line for line in footer(look) if line],
    }
    if look.scope.addresses:
        data["pfn"] = part.head.tolist()
    return data


def mm_sets(mappings: Mappings, folios: int) -> tuple[NDArray[np.int64], list[list[int]]]:
    """The distinct sets of MMs that map a folio, and which of them each folio has: int64 (-1: none)."""
    first = np.flatnonzero(np.diff(mappings.folio, prepend=-1))
    end = np.append(first[1:], len(mappings.folio))
    owner = mappings.owner.tolist()
    known: dict[tuple[int, ...], int] = {}
    which = np.full(folios, -1, np.int64)
    found = [known.setdefault(tuple(owner[a:b]), len(known)) for a, b in zip(first.tolist(), end.tolist(), strict=True)]
    which[mappings.folio[first]] = found
    return which, [list(members) for members in known]


def _flags(look: Look, mappings: Mappings) -> NDArray[np.int64]:
    """FALSE_SHARED, PARTIAL, PMD, the kernel's answer, whether a write copies needlessly, and what does not add up, per
    folio."""
    sharing, large = look.snapshot.sharing, look.scope.large
    flags = np.where(sharing.mapped < sharing.folios.pages, PARTIAL, 0)
    flags[mappings.folio[mappings.pmds > 0]] |= PMD
    flags[look.snapshot.account.more] |= UNSEEN
    flags[look.snapshot.account.doubtful] |= DOUBTFUL
    if large is not None and large.state is not None:
        state = large.state
        flags[large.row[large.false_shared]] |= FALSE_SHARED
        flags[large.row[large.needless > 0]] |= NEEDLESS
        flags[large.row[state.known & (state.maybe_shared >= 0)]] |= KNOWN
        flags[large.row[state.known & (state.maybe_shared == 1)]] |= MAYBE_SHARED
    return flags
