"""The COW table of a booted kernel, for people.

For `rmaplab kernel test`.
"""

from collections.abc import Sequence

from rmaplab.report.console import table
from rmaplab.report.sheet import Sheet
from rmaplab.trials.trial import Judged


def cow_table(kernel: str, scheme: str | None, judged: Sequence[Judged]) -> Sheet:
    """One row for each topology, number of MMs and order: pages of all survivors together."""
    groups: dict[tuple[str, int, int], list[Judged]] = {}
    for one in judged:
        groups.setdefault((one.row.topology, one.row.order, one.row.mms), []).append(one)
    rows = [
        (
            topology,
            order,
            mms,
            sum(one.row.reused_pages for one in ones),
            sum(one.row.copied_pages for one in ones),
            sum(one.twin_pages for one in ones),
            sum(one.avoidable_pages for one in ones),
        )
        for (topology, order, mms), ones in groups.items()
    ]
    columns = ("tree", "order", "MMs", "reused", "copied", "twin would\nreuse", "avoidable\ncopies")
    return table(f"{kernel}, {scheme or 'its own rule'}: each survivor writes one folio", columns, rows)
