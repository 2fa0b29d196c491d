"""The kernel's own tests: what their programs say is counted as they mean it, and compared with the kernel's own rule."""

import pytest

from rmaplab.kernels.own_tests import Compared
from rmaplab.kernels.selftests import Tally, count

TAP = """TAP version 13
1..5
# [RUN] one
ok 1 one
not ok 2 two
ok 3 # SKIP no swap
ok 4 four # XFAIL known
# Totals: pass:1 fail:1 xfail:1 xpass:0 skip:1 error:0
"""
KHUGEPAGED = "Maybe collapse.... \x1b[32mOK\x1b[0m\nCheck.... \x1b[31mFail\x1b[0m\nSwap \x1b[33mSkip\x1b[0m\n"
UFFD = "Testing API (syscall)... done\nTesting wp on shmem... skipped [reason: feature missing]\nTesting x... failed\n"


@pytest.mark.parametrize(
    ("text", "status", "numbers"),
    [
        (TAP, 1, (1, 1, 2)),
        (KHUGEPAGED, 1, (1, 1, 1)),
        (UFFD, 1, (1, 1, 1)),
        ("", 0, (1, 0, 0)),
        ("ok 1 one\nBail out!\n", 1, (1, 1, 0)),
        ("1..0 # SKIP not enough memory\n", 4, (0, 0, 1)),
        ("", 139, (0, 1, 0)),
    ],
)
def test_a_programs_words_are_counted_as_it_means_them(text: str, status: int, numbers: tuple[int, int, int]) -> None:
    tally = count(text, status)
    assert (tally.passed, len(tally.failed), tally.skipped) == numbers


def test_a_program_that_could_not_run_says_why() -> None:
    assert count("1..0 # SKIP not enough memory\n", 4).why == "not enough memory"


def test_only_what_the_kernels_own_rule_does_not_fail_counts_against_a_scheme() -> None:
    both = Compared(Tally(failed=["a", "b"]), Tally(failed=["b"]))
    assert both.beyond_off == ["a"]
    assert Compared(Tally(failed=["a"]), None).beyond_off == ["a"]
    assert both.to_dict()["off"] == {"pass": 0, "fail": 1, "skip": 0}
