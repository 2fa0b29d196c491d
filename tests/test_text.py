"""Whatever a name is, what goes to a terminal, into JSON or into a page is safe there."""

import json
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmaplab.proctext import decoded, encoded
from rmaplab.text import for_json, for_page, for_terminal, from_json, plain

anything = st.one_of(st.text(alphabet=st.characters(exclude_categories=())), st.binary().map(decoded))
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), anything),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(anything, inner)),
    max_leaves=12,
)
FORBIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


@given(anything)
def test_nothing_that_steers_a_terminal_is_left(text: str) -> None:
    shown = for_terminal(text)
    assert not {unicodedata.category(char) for char in shown} & FORBIDDEN
    assert len(shown.splitlines()) <= 1
    shown.encode("utf-8")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mRED\x1b[2J", "\\x1b[31mRED\\x1b[2J"),
        ("\x1b]0;pwn\x07", "\\x1b]0;pwn\\x07"),
        ("\u009b31mC1", "\\x9b31mC1"),
        ("a\nb", "a\\nb"),
        ("user\u202egnp.exe", "user\\u202egnp.exe"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        (decoded(b"n\xff\xe9"), "n\\xff\\xe9"),
        ("a\u2028b\x85c", "a\\u2028b\\x85c"),
        ("\U000e0041", "\\U000e0041"),
        ("Größe 大小 µ", "Größe 大小 µ"),
        ("C:\\x", "C:\\x"),
    ],
)
def test_what_is_escaped_and_what_is_not(text: str, shown: str) -> None:
    assert for_terminal(text) == shown


@given(st.binary())
def test_json_gives_every_name_back_byte_for_byte(name: bytes) -> None:
    text = for_json(decoded(name))
    assert text.encode("utf-8").decode("utf-8") == text
    assert from_json(text) == name


@given(st.text().filter(lambda text: "\ufffd" not in text))
def test_valid_text_is_stored_unchanged(text: str) -> None:
    assert for_json(text) == text
    assert from_json(text) == encoded(text)


@given(values)
def test_every_json_document_is_valid_unicode_without_nan(value: object) -> None:
    text = json.dumps(plain(value), ensure_ascii=False, allow_nan=False)
    text.encode("utf-8")
    assert json.loads(text) == plain(value)


@given(values)
def test_data_of_a_page_is_plain_ascii_without_markup(value: object) -> None:
    text = for_page(value)
    assert text.isascii()
    assert not re.search("[<>&\x00-\x1f\x7f]", text)
    json.loads(text)


def test_data_of_a_page_cannot_end_its_element() -> None:
    assert json.loads(for_page({"n": "</script><!--&amp;"})) == {"n": "</script><!--&amp;"}
    assert for_page("</script>") == '"\\u003c/script\\u003e"'
    assert json.loads(for_page("\u202ex\u2028")) == "\\u202ex\\u2028"
