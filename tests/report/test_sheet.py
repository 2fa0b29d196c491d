"""Tables fit: numbers are whole at every width, names give way, then columns, and what is missing is named."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from rmaplab.report.sheet import LEAST, Column, Sheet
from rmaplab.text import for_terminal

names = st.text(alphabet=st.characters(exclude_categories=()), max_size=60)
COLUMNS = (
    Column("name", "name", left=True),
    Column("pid"),
    Column("bytes"),
    Column("false\nshared", rank=1),
    Column("why", "text", left=True),
)
NUMBERED = Column("pid"), Column("name", "name", left=True), Column("bytes"), Column("more")


def shown(sheet: Sheet, width: int) -> list[str]:
    return [line.plain for line in sheet.lines(width)]


rows = st.lists(st.tuples(names, st.integers(0, 1 << 22), st.integers(0, 1 << 50), st.integers(0, 99), names), max_size=5)


@given(rows, st.integers(0, 130))
def test_no_number_is_cut_and_no_line_too_long(found: list[tuple[str, int, int, int, str]], width: int) -> None:
    said = shown(Sheet("", COLUMNS, found), width)
    heading = said[: 2 if any("false" in line for line in said[:1]) else 1]
    words = " ".join(heading).split()
    whole = [[word for word in re.findall(r"\S+", line) if word.isascii()] for line in said]
    for _, pid, size, _, _ in found:
        for column, value in (("pid", pid), ("bytes", size)):
            if column in words:
                assert any(str(value) in line for line in whole)
    assert all(cell_len(line) <= max(width, LEAST) for line in said)


@given(rows)
def test_without_a_terminal_everything_is_there(found: list[tuple[str, int, int, int, str]]) -> None:
    said = shown(Sheet("", COLUMNS, found), 1 << 16)
    assert len(said) == 2 + len(found)
    for line, (name, *_, why) in zip(said[2:], found, strict=True):
        assert for_terminal(name).strip() in line
        assert for_terminal(why).strip() in line


@pytest.mark.parametrize("width", [0, 1, 19, 20, 30, 40, 60, 80, 100])
def test_a_column_that_is_left_out_is_named(width: int) -> None:
    found = [(123456, "a" * 50, 1 << 40, 1 << 45)]
    said = shown(Sheet("", NUMBERED, found), width)
    note = " ".join(line.strip() for line in said[2:])
    for column, value in zip(NUMBERED, found[0], strict=True):
        assert (column.heading in said[0].split()) != (column.heading in note.replace(",", " ").split())
        if column.kind == "number" and column.heading in said[0]:
            assert str(value) in said[1].split()


def test_names_give_way_before_any_column_does() -> None:
    sheet = Sheet("", NUMBERED, [(1, "a" * 50, 22, 333)])
    assert shown(sheet, 40)[-1].split()[2:] == ["22", "333"]
    assert shown(sheet, 40)[-1].split()[1].endswith("a…")


def test_a_path_keeps_its_end_and_a_name_its_beginning() -> None:
    sheet = Sheet("", [Column("name", "name", left=True)], [("/system.slice/docker-0123456789.scope",), ("b" * 40,)])
    path, name = shown(sheet, 20)[1:]
    assert path.startswith("/sys")
    assert path.endswith("456789.scope")
    assert name == "b" * 19 + "…"


def test_text_is_wrapped_not_cut() -> None:
    sheet = Sheet("", [Column("n"), Column("why", "text", left=True)], [(7, "one two three four five six seven eight")])
    assert " ".join(" ".join(shown(sheet, 24)[1:]).split()) == "7 one two three four five six seven eight"


def test_the_last_of_a_rank_goes_first() -> None:
    columns = [Column("key"), Column("aaaaaaaa", rank=1), Column("bbbbbbbb"), Column("cccccccc", rank=1)]
    sheet = Sheet("", columns, [(1, 2, 3, 4)])
    assert [shown(sheet, width)[0].split() for width in (40, 30, 20)] == [
        ["key", "aaaaaaaa", "bbbbbbbb", "cccccccc"],
        ["key", "aaaaaaaa", "bbbbbbbb"],
        ["key", "bbbbbbbb"],
    ]


def test_an_encoding_without_the_ellipsis_gets_another_mark() -> None:
    sheet = Sheet("", [Column("name", "name", left=True)], [("b" * 40,)])
    assert [line.plain for line in sheet.lines(20, "~")][1] == "b" * 19 + "~"
