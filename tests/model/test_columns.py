"""What the model's rows are kept in: a log that is only added to, and sums over elements that may repeat."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rmaplab.machine.model.physical.columns import add_at, cells_of, distinct
from rmaplab.machine.model.physical.log import Log

_NUMBERS = st.integers(0, 2**32 - 1)
_RISING = st.sets(st.integers(0, 50)).map(sorted)
_RUNNING = st.builds(lambda first, size: list(range(first, first + size)), st.integers(0, 20), st.integers(0, 20))


@st.composite
def _written(draw: st.DrawFn) -> tuple[int, object, object]:
    """Rows, and a value of each of two columns: one of all, or one a row."""
    rows = draw(st.sampled_from([1, 2, 63, 64, 65, 200]))
    whole = [draw(_NUMBERS), np.full(rows, draw(_NUMBERS)) + np.arange(rows) % 3]
    return rows, draw(st.sampled_from(whole)), draw(st.sampled_from([-1, 1, np.arange(rows) - 5]))


@given(st.lists(_written(), max_size=8))
def test_a_log_holds_every_row_in_the_order_it_was_written(writes: list[tuple[int, object, object]]) -> None:
    log, right = Log({"one": np.uint64, "two": np.int32}), list[tuple[int, int]]()
    for rows, one, two in writes:
        mine = list(zip(np.broadcast_to(one, rows).tolist(), np.broadcast_to(two, rows).tolist(), strict=True))
        if rows == 1:
            log.add(*mine[0])
        else:
            log.extend(rows, one, two)
        right += mine
        assert log.rows == len(right)
    assert list(zip(log.column("one").tolist(), log.column("two").tolist(), strict=True)) == right


def test_what_is_written_to_a_log_may_change_afterwards() -> None:
    log, values = Log({"one": np.uint32}), np.arange(100)
    log.extend(100, values)
    values[:] = 0
    assert log.column("one").tolist() == list(range(100))


@given(st.one_of(st.lists(st.integers(0, 50)), _RISING, _RUNNING), st.integers(-3, 3))
def test_every_element_of_an_index_is_added_to_as_often_as_it_occurs(keys: list[int], delta: int) -> None:
    column, index = np.zeros(60, np.int64), np.array(keys, np.int64)
    where = distinct(index)
    add_at(column, index, where, delta)
    assert column.tolist() == [delta * keys.count(at) for at in range(60)]
    assert where is None or np.arange(60)[where].tolist() == keys
    assert (where is None) <= (sorted(set(keys)) != keys)


def test_cells_are_the_memory_of_their_array() -> None:
    array = np.zeros((3, 2), np.uint64)
    cells_of(array)[2, 1] = 2**64 - 1
    assert array.tolist() == [[0, 0], [0, 0], [0, 2**64 - 1]]
