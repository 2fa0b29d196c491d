"""What the demo says besides its tables: the words it uses, before they appear, and five lines at the end.

For `rmaplab demo`. The lines follow from the results: a kernel that copies nothing gets other ones.
"""

from collections.abc import Sequence
from typing import Final

from rmaplab.judge import Judgement
from rmaplab.report.run import kernel_answers, size
from rmaplab.trace import Trace

WORDS: Final = (
    "An MM is an address space: a process, or several that share one. A folio is memory the kernel manages as one",
    "piece: order n is 2^n pages, order 9 a THP of 2 MiB. A question is a moment at which the kernel must know whether",
    "one MM maps a folio or many: here every COW fault, the first write to a page after a fork. An RMW is an atomic",
    "read-modify-write: what keeping the answer ready costs.",
)


def lesson(runs: Sequence[tuple[Trace, Judgement]]) -> list[str]:
    """What was seen, what it means, who is right and at what price, and what to try next."""
    seen, needless = [], 0
    for trace, judgement in runs:
        copied, saved = kernel_answers(trace)["copied_pages"], judgement.avoidable_copies
        needless += saved.pages or 0
        mms = trace.events["mm"].n_unique()
        seen.append(f"{trace.meta.scenario}, {mms} processes: {copied} pages copied, {saved.pages} for nothing")
    wasted = sum(judgement.avoidable_copies.bytes or 0 for _, judgement in runs)
    return [f"Seen:  {'; '.join(seen)}.", *_meaning(needless, wasted), _right(runs), _NEXT]


_NEXT: Final = (
    "Next:  rmaplab run chain --k 5 (deeper trees), rmaplab refute generations --order 7 (how one fails), rmaplab inspect"
)


def _meaning(needless: int, wasted: int) -> list[str]:
    if not needless:
        return [
            "Means: this kernel knew in both runs that one process alone was left, and copied nothing without a reason.",
            "       Kernels that do not know: rmaplab run prefork --on model --kernel linux-6.12,linux-6.18",
        ]
    return [
        f"Means: the process that was left had the memory alone and the kernel did not know: {size(wasted)} for nothing.",
        "       Linux counts two MMs of a folio (mm-id). After a third it says shared, even of one alone: safe but dear.",
    ]


def _right(runs: Sequence[tuple[Trace, Judgement]]) -> str:
    names = list(runs[0][1].schemes)
    right = [
        (one.price.max_bytes or 0, name)
        for name in names
        if name != "truth"
        for one in [runs[0][1].schemes[name]]
        if all(judgement.schemes[name].total.sound and judgement.schemes[name].total.precise for _, judgement in runs)
    ]
    best = ", ".join(f"{name} ({bytes_} bytes)" for bytes_, name in sorted(right)[:3])
    return f"Right: {len(right)} of {len(names) - 1} schemes in both runs, the smallest: {best}."
