"""The kernel's own tests, counted, for people.

For `rmaplab kernel test`.
"""

from collections.abc import Mapping

from rmaplab.kernels.own_tests import Compared
from rmaplab.report.console import table
from rmaplab.report.sheet import Sheet


def selftests_table(kernel: str, scheme: str | None, tests: Mapping[str, Compared]) -> Sheet:
    """One row for each program, and what failed that the kernel's own rule does not fail."""
    rows = [
        (
            title,
            one.tally.passed,
            len(one.tally.failed),
            one.tally.skipped,
            "" if one.off is None else len(one.off.failed),
            "; ".join(one.beyond_off) or one.tally.why,
        )
        for title, one in tests.items()
    ]
    columns = ("program", "pass", "fail", "skip", "fail with\nits own rule", "fails beyond that, or why it did not run")
    return table(f"{kernel}, {scheme or 'its own rule'}: the kernel's selftests", columns, rows)
