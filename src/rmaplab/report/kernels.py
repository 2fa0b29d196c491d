"""Kernels side by side on one scenario.

For `rmaplab run --on model --kernel A,B,...`.
"""

from collections.abc import Sequence

from rmaplab.judge import Happened, Judgement
from rmaplab.report.console import table
from rmaplab.report.run import counted, kernel_answers, size
from rmaplab.report.sheet import Sheet
from rmaplab.trace import Trace


def kernels_table(judged: Sequence[tuple[Trace | Happened, Judgement]]) -> Sheet:
    """One row per kernel: what its faults did, what they did for nothing, and the most memory it needed."""
    columns = ("kernel", "faults", "reused", "copied", "for nothing", "splits", "peak memory", "standing")
    return table(f"{judged[0][0].meta.scenario}: what each kernel does", columns, [_row(*one) for one in judged])


def _row(trace: Trace | Happened, judgement: Judgement) -> tuple[object, ...]:
    answers, stats = kernel_answers(trace), trace.meta.stats
    return (
        answers["release"],
        f"{stats['faults']:.0f}",
        answers["reused_pages"],
        answers["copied_pages"],
        counted(judgement.avoidable_copies.pages),
        f"{stats['splits']:.0f}",
        size(int(stats["peak_pages"]) * trace.meta.page_size),
        answers["standing"],
    )
