"""The refuter's findings, for people.

For `rmaplab refute` and `rmaplab.refute`.
"""

from collections.abc import Sequence

from rmaplab.report.console import table
from rmaplab.report.sheet import Sheet
from rmaplab.verify.refute.problem import Finding


def findings_table(findings: Sequence[Finding]) -> Sheet:
    """One row per configuration: verdict, size of the smallest witness, reason."""
    rows = []
    for f in findings:
        c, w = f.config, f.witness
        smallest = f"{w.mapcount} mappings, {len(w.mappings)} MMs" if w else "-"
        rows.append((c.scheme, c.order, c.values, c.id_bits, c.word_bits, f.decision.value, smallest, f.reason))
    columns = ("scheme", "order", "values", "ID bits", "word bits", "verdict", "smallest witness", "reason")
    return table("Can it take shared for exclusive?", columns, rows, left=len(columns))


def in_words(finding: Finding) -> list[str]:
    """A refuted configuration's witness: who asks, who maps, both sides, and what engine, model and C core said."""
    w, c = finding.witness, finding.config
    if w is None:
        return []
    who = ", ".join(f"MM {mm} {pages}" for mm, pages in w.mappings.items())
    sides = "; ".join(f"{left} = {right}" for left, right in w.sides)
    return [
        "",
        f"{c.scheme}, order {c.order}: MM {w.mm} asks. Pages mapped: {who}: {w.mapcount} in all, of {c.pages}.",
        f"Both sides, per value, modulo 2^{c.word_bits}: {sides}",
        *finding.replays,
    ]
