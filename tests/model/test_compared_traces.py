"""Two machines' traces tell the same: up to the names of folios, and where both machines know."""

from collections.abc import Callable

import pytest

from rmaplab.machine.differential.traces import Marks, compare_traces
from rmaplab.machine.model import ModelMachine
from rmaplab.trace import Trace, TraceBuilder
from rmaplab.trace.tables import Meta

Recorded = tuple[Trace, Marks]


def recorded(
    *, first: int = 0, pages: int = 4, kernel: str | None = "shared", truth: str | None = "shared", asks: int = 1
) -> Recorded:
    """Two program steps: MM 1 maps `pages` pages of a folio of order 4; MM 2 maps one, and MM 1 asks `asks` times."""
    builder, marks = TraceBuilder(), Marks()
    for _ in range(first):
        builder.folios(0, "anon")
    (folio,) = builder.folios(4, "anon")
    builder.tick(3)
    builder.events(folio, 1, 0, pages)
    marks.note(*builder.rows)
    builder.tick()
    builder.events(folio, 2, 0, 1)
    for _ in range(asks):
        builder.tick()
        builder.questions(folio, 1, kernel=kernel, truth=truth, outcome="copied")
    marks.note(*builder.rows)
    return builder.build(Meta(source="test", kernel="test")), marks


def test_names_of_folios_and_fields_that_one_side_does_not_know_make_no_difference() -> None:
    ours, theirs = recorded(), recorded(first=3, kernel=None)
    assert compare_traces(*ours, *theirs) is None


@pytest.mark.parametrize(
    ("other", "step", "what"),
    [
        (lambda: recorded(pages=3), 0, "rmap updates"),
        (lambda: recorded(asks=2), 1, "question"),
        (lambda: recorded(asks=0), 1, "question"),
        (lambda: recorded(kernel="exclusive"), 1, "kernel"),
        (lambda: recorded(truth="exclusive"), 1, "truth"),
    ],
)
def test_a_difference_is_named_with_the_step_it_shows_in(other: Callable[[], Recorded], step: int, what: str) -> None:
    found = compare_traces(*recorded(), *other())
    assert found is not None
    assert (found[0], found[1].what) == (step, what)


def test_mappings_that_came_and_went_within_a_step_do_not_count() -> None:
    builder, marks = TraceBuilder(), Marks()
    (folio,) = builder.folios(4, "anon")
    builder.tick(2)
    builder.events([folio, folio, folio], 1, [0, 0, 2], [4, -2, 2])
    builder.events(folio, 1, 2, -2)
    marks.note(*builder.rows)
    plain, plain_marks = TraceBuilder(), Marks()
    (folio,) = plain.folios(4, "anon")
    plain.events(folio, 1, 2, 2)
    plain_marks.note(*plain.rows)
    meta = Meta(source="test", kernel="test")
    assert compare_traces(builder.build(meta), marks, plain.build(meta), plain_marks) is None


def test_models_of_two_kernels_record_different_answers() -> None:
    traces = []
    for kernel in ("linux-6.18", "linux-6.12"):
        with ModelMachine(kernel) as machine:
            marks = Marks()
            process = machine.spawn()
            address = process.mmap(2 << 20, order=9)
            process.write(address, 2 << 20)
            process.mprotect(address, 4096, writable=False)
            process.mprotect(address, 4096, writable=True)
            process.fork().exit()
            process.write(address, 2 << 20, 2)
            marks.note(*machine.recorder.rows)
            traces += [machine.trace(), marks]
    found = compare_traces(*traces)
    assert found is not None
    assert found[0] == 0
