"""One line of advice where a known pattern is seen. Each rule names what was measured, and what to try.

For `rmaplab inspect --family`. Facts of one look only: a rule that does not apply says nothing.
"""

import re
from collections.abc import Iterator
from typing import Final

import numpy as np

from rmaplab.inspect.erosion import KINDS, Worker
from rmaplab.inspect.extents import HUGE
from rmaplab.inspect.family import ancestors, parents
from rmaplab.inspect.snapshot import Snapshot

_COUNTING: Final = re.compile(r"python|gunicorn|uwsgi|celery|ruby|puma|unicorn|perl", re.IGNORECASE)
_MUCH, _LEAST = 0.2, 1 << 20


def advice(snapshot: Snapshot, workers: list[Worker], needless: int | None) -> Iterator[str]:
    """`needless`: bytes that a write copies only because of what the kernel takes for shared."""
    parent, size = parents(snapshot), snapshot.page_size
    copied = inherited = 0
    for one in workers:
        if _COUNTING.search(snapshot.mms[one.mm].leader.name):
            pages = one.pages.sum(axis=0)
            copied += int(pages[KINDS.index("copied")]) * size
            inherited += int(pages[:3].sum()) * size
    if copied > _LEAST and copied > _MUCH * inherited:
        yield (
            f"workers of an interpreter have copied {copied * 100 // inherited}% of their inheritance: its reference"
            " counts and collector write to objects nobody changes; freeze the heap before forking (Python: gc.disable()"
            " while loading, gc.freeze() before fork; Ruby: Process.warmup)"
        )
    sharing = snapshot.sharing
    huge = (sharing.extents.flags & HUGE) != 0
    inside = np.isin(sharing.owner, [one.mm for one in workers])
    shared = int(sharing.extents.pages[huge & inside].sum()) * size
    if shared > _LEAST and len(workers) == 1:
        yield (
            f"a child maps {shared >> 20} MiB by PMDs: while it lives the first write of its parent to each of these huge"
            " pages splits the mapping and copies page by page; a snapshot (fork, write out, exit) pays less with small"
            " pages (madvise(MADV_NOHUGEPAGE), or transparent_hugepage=madvise)"
        )
    deep = [one for one in workers if len(ancestors(parent, one.mm)) > 1]
    if deep and needless:
        yield (
            f"{len(deep)} workers were forked from workers, and {needless} bytes would be copied for nothing: the kernel"
            " knows two address spaces a folio; fork workers from the first process, or let those in between exec"
        )
