"""The rules by which Linux 6.15 and later answer COW faults, unsharing and mbind, from the scheme `mm-id`, mapcounts and
references."""

import numpy as np
import polars as pl

from rmaplab.engine import replay
from rmaplab.schemes import select
from rmaplab.trace import Trace, Verdict


def asked(trace: Trace, *what: str) -> pl.DataFrame:
    """The questions of these kinds, by default of COW faults and unsharing, with what the kernel's rule needs to know:
    order, mapcount then, and the mm-id verdict."""
    (mm_id,) = select(["mm-id"])
    counts = trace.events.with_columns(mapcount=pl.col("nr").cum_sum().over("folio")).select("step", "folio", "mapcount")
    return (
        trace.questions.with_columns(verdict=pl.Series(replay(trace, mm_id)))
        .join(trace.folios.select("folio", "order"), on="folio")
        .sort("step", maintain_order=True)
        .join_asof(counts, on="step", by="folio", allow_exact_matches=False, check_sortedness=False)
        .filter(pl.col("what").is_in(what or ("cow", "unshare")))
    )


def movable(questions: pl.DataFrame) -> np.ndarray:
    """folio_maybe_mapped_shared(), the other way round: True where mbind() with MPOL_MF_MOVE tries to move the folio."""
    large = questions["order"].to_numpy() > 0
    exclusive = large & (questions["verdict"].to_numpy() == Verdict.EXCLUSIVE)
    return np.asarray((questions["mapcount"].to_numpy() <= 1) | exclusive)


def expected(questions: pl.DataFrame) -> np.ndarray:
    """do_wp_page() and do_huge_pmd_wp_page() of 6.15 and later: True where the page is reused."""
    mapcount, extra = questions["mapcount"].to_numpy(), questions["extra_refs"].to_numpy()
    no_others = extra == 0
    pte_of_large = (mapcount > 1) & (questions["verdict"].to_numpy() == Verdict.EXCLUSIVE) & no_others
    sole_reference = (mapcount == 1) & no_others
    large = (questions["order"].to_numpy() > 0) & (questions["pages"].to_numpy() == 1)
    return np.where(large, pte_of_large, sole_reference)
