"""What a watch may cost, and what it does not know of the times in which it did not look."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmaplab.report.watch import as_known
from rmaplab.watch import budget as module
from rmaplab.watch.budget import Budget

TIMES = st.lists(st.integers(0, 60), min_size=2, max_size=30, unique=True).map(sorted)


class Clock:
    """A clock that stands where it is set."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def process_time(self) -> float:
        return 0.0


def blinked(monkeypatch: pytest.MonkeyPatch, times: list[int]) -> tuple[Budget, Clock]:
    """Eyes closed at the first time, opened at the second, and so on."""
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    made = Budget(0.05)
    for number, clock.now in enumerate(map(float, times)):
        (made.open_eyes if number % 2 else made.close_eyes)()
    clock.now = 100.0
    return made, clock


@given(TIMES, st.integers(0, 60), st.integers(0, 60))
def test_blind_seconds_of_a_life_are_those_within_it(times: list[int], one: int, other: int) -> None:
    begin, end = sorted((one, other))
    with pytest.MonkeyPatch.context() as monkeypatch:
        made, _ = blinked(monkeypatch, times)
        closed = zip(times[::2], [*times[1::2], 100], strict=False)
        expected = sum(max(0, min(end, high) - max(begin, low)) for low, high in closed)
        assert made.blind_between(begin, end) == expected
        assert made.blind_between(0, 100) == made.blind


def test_of_times_too_long_ago_their_sum_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SPANS", 2)
    made, _ = blinked(monkeypatch, list(range(10)))
    assert made.blind_between(0, 100) == made.blind == 5
    assert made.blind_between(8, 9) == 1
    assert made.blind_between(2, 3) >= 1  # perhaps too many, never too few


@pytest.mark.parametrize(
    ("faults", "blind", "shown"), [(0, 0.0, ["0"]), (3, 0.0, ["3"]), (3, 0.5, ["3+"]), (0, 0.5, ["?"])]
)
def test_what_was_not_looked_at_is_not_shown_as_nothing(faults: int, blind: float, shown: list[str]) -> None:
    assert as_known({"faults": faults, "blind_seconds": blind}, [faults]) == shown
