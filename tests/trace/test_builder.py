"""The trace builder: broadcasting, and values that do not fit."""

import numpy as np
import polars as pl
import pytest

from rmaplab.trace import Meta, TraceBuilder


def test_one_element_goes_with_as_many_as_the_others_have() -> None:
    builder = TraceBuilder()
    folio = builder.folios([9], "anon")
    builder.events(folio, mm=[2, 3], page=0, nr=np.array([512]))
    events = builder.build(Meta("test")).events
    assert events.select("folio", "mm", "nr").rows() == [(0, 2, 512), (0, 3, 512)]


def test_no_rows_are_no_rows() -> None:
    builder = TraceBuilder()
    builder.events(np.zeros(0, np.uint32), mm=1, page=0, nr=1)
    assert builder.build(Meta("test")).events.height == 0


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="different lengths"):
        TraceBuilder().events([0, 1], mm=[1, 2, 3], page=0, nr=1)


@pytest.mark.parametrize("changes", [{"mm": -1}, {"nr": 1 << 31}, {"page": 1 << 32}])
def test_a_value_that_does_not_fit_its_column_is_refused(changes: dict[str, int]) -> None:
    columns = {"mm": 1, "page": 0, "nr": 1} | changes
    (column,) = changes
    with pytest.raises(pl.exceptions.InvalidOperationError, match=f"failed in column '{column}'"):
        TraceBuilder().events([0], **columns)
