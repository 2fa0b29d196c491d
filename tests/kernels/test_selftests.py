"""The kernel's own tests: what their programs say is counted as they mean it, and compared with the kernel's own rule."""

import pytest

from rmaplab.kernels.own_tests import Compared
from rmaplab.kernels.selftests import Tally, count
from rmaplab.report.selftests import selftests_verdict

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


def failing(*names: str, passed: int = 0) -> Tally:
    return Tally(passed=passed, failed=list(names))


def test_only_what_the_kernels_own_rule_does_not_fail_counts_against_a_scheme() -> None:
    both = Compared([failing("a", "b")], [failing("b", passed=1)])
    assert both.beyond_off == ["a"]
    assert Compared([failing("a")]).beyond_off == ["a"]
    assert both.to_dict()["off"] == {"pass": 1, "fail": 1, "skip": 0}
    assert selftests_verdict({"x": both}).endswith("pass 0, under off 1; fail here and not under off: 1")


def test_what_fails_once_and_no_more_or_under_both_rules_is_chance() -> None:
    never = failing(passed=2)
    once = failing("a", passed=1)
    assert Compared([once, never, never], [never, never, never]).by_chance == ["a"]
    assert Compared([once, once, never], [never, never, once]).by_chance == ["a"]
    again = Compared([once, never, once], [never, never, never])
    assert (again.beyond_off, again.by_chance) == (["a"], [])
    assert "nothing fails that does not fail under off" in selftests_verdict({"x": Compared([never], [never])})


def test_a_program_that_ends_before_its_last_tests_is_no_better_than_one_that_fails_them() -> None:
    short, whole = failing("a", passed=3), failing("a", passed=9)
    assert Compared([short], [whole]).beyond_off == ["6 tests were not reached"]
    assert Compared([short, whole, whole], [whole, whole, whole]).by_chance == ["6 tests were not reached"]
    assert Compared([short, short, short], [whole, whole, whole]).beyond_off == ["6 tests were not reached"]
    assert Compared([whole], [short]).beyond_off == []
