"""The kernel's own tests, counted, for people.

For `rmaplab kernel test`.
"""

from collections.abc import Mapping

from rmaplab.kernels.own_tests import Compared
from rmaplab.kernels.selftests import Tally
from rmaplab.report.console import table
from rmaplab.report.sheet import Sheet


def selftests_table(kernel: str, scheme: str | None, tests: Mapping[str, Compared]) -> Sheet:
    """One row for each program: its tests under the scheme, under the kernel's own rule, and what failed here alone."""
    rows = [
        (
            title,
            *_numbers(one.tally),
            *(_numbers(one.off[0]) if one.off else ("", "", "")),
            "; ".join(one.beyond_off),
            "; ".join([*one.by_chance, *filter(None, [one.tally.why])]),
        )
        for title, one in tests.items()
    ]
    numbers = ("pass", "fail", "skip", "off:\npass", "\nfail", "\nskip")
    columns = ("program", *numbers, "fails here\nalone", "by chance, or\nwhy not run")
    return table(f"{kernel}, {scheme or 'its own rule'}: the kernel's selftests", columns, rows)


def selftests_verdict(tests: Mapping[str, Compared]) -> str:
    """One sentence: does anything fail that the kernel's own rule does not fail?"""
    compared = [one for one in tests.values() if one.off]
    if not compared:
        return "the kernel's own rule: nothing to compare with"
    beyond = [name for one in compared for name in one.beyond_off]
    passed = sum(one.tally.passed for one in compared)
    under_off = sum(one.off[0].passed for one in compared)
    said = f"fail here and not under off: {len(beyond)}" if beyond else "nothing fails that does not fail under off"
    return f"programs {len(compared)}, tests that pass {passed}, under off {under_off}; {said}"


def _numbers(tally: Tally) -> tuple[int, int, int]:
    return tally.passed, len(tally.failed), tally.skipped
