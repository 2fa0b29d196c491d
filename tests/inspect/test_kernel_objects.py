"""BTF offsets and the BPF reader: against the kernel's own headers as far as known, and against known counts."""

import struct
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmaplab.errors import NotAvailable
from rmaplab.inspect.bpf import BpfError, KernelReader
from rmaplab.inspect.btf import Btf, BtfError
from rmaplab.inspect.folio_state import FolioReader
from rmaplab.inspect.snapshot import require_frames


def blob() -> bytes:
    """struct outer { int a; union { long b; struct { short c[3]; } named; }; const int d; } by hand."""
    names = [b"", b"outer", b"int", b"long", b"short", b"a", b"b", b"c", b"named", b"d"]
    at, strings = {}, b""
    for name in names:
        at[name] = len(strings)
        strings += name + b"\0"

    def kind(name: bytes, number: int, vlen: int, size: int, *words: int) -> bytes:
        return struct.pack(f"=III{len(words)}I", at[name], number << 24 | vlen, size, *words)

    types = (
        kind(b"int", 1, 0, 4, 32)
        + kind(b"long", 1, 0, 8, 64)
        + kind(b"short", 1, 0, 2, 16)
        + kind(b"", 3, 0, 0, 3, 1, 3)
        + kind(b"", 4, 1, 6, at[b"c"], 4, 0)
        + kind(b"", 5, 2, 8, at[b"b"], 2, 0, at[b"named"], 5, 0)
        + kind(b"", 10, 0, 1)
        + kind(b"outer", 4, 3, 24, at[b"a"], 1, 0, 0, 6, 64, at[b"d"], 7, 128)
    )
    return struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(strings)) + types + strings


@pytest.mark.parametrize(
    ("path", "offset", "size"), [("a", 0, 4), ("b", 8, 8), ("named", 8, 6), ("named.c", 8, 6), ("d", 16, 4)]
)
def test_btf_finds_fields_in_anonymous_members_and_behind_modifiers(path: str, offset: int, size: int) -> None:
    field = Btf(blob(), "test").field("outer", path)
    assert (field.offset, field.size) == (offset, size)
    assert Btf(blob(), "test").size("outer") == 24


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"", "not BTF"), (b"\0" * 24, "not BTF"), (blob()[:60], "truncated"), (blob()[::-1], "not BTF")],
)
def test_broken_btf_is_an_error_with_a_name(data: bytes, words: str) -> None:
    with pytest.raises(BtfError, match=words):
        Btf(data, "test")


@given(
    changed=st.dictionaries(
        st.integers(0, len(blob()) - 1), st.sampled_from((0, 1, 2, 4, 5, 6, 10, 127, 255)), max_size=8
    ),
    path=st.sampled_from(("a", "b", "named.c", "d", "c")),
)
def test_btf_whose_bytes_are_not_what_they_were_answers_or_says_one_line(changed: dict[int, int], path: str) -> None:
    raw = bytearray(blob())
    for at, byte in changed.items():
        raw[at] = byte
    with suppress(BtfError):
        types = Btf(bytes(raw), "test")
        for ask in (
            lambda: types.field("outer", path),
            lambda: types.size("outer"),
            lambda: types.enumerator("int", "a"),
        ):
            with suppress(BtfError):
                ask()


def test_btf_that_leads_round_in_itself_ends() -> None:
    """`d` is const of itself; anonymous members that hold each other, two of each, cost no more than one."""
    whole = blob()
    const = whole.index(struct.pack("=III", 0, 10 << 24, 1))
    with pytest.raises(BtfError, match="test: damaged: type 7: more than 32 modifiers"):
        Btf(whole[: const + 8] + struct.pack("=I", 7) + whole[const + 12 :], "test").field("outer", "d")
    deep = 60
    types = b"".join(
        struct.pack("=III6I", 1, 4 << 24 | 2, 8, *(0, min(n + 1, deep), 0, 0, min(n + 1, deep), 0))
        for n in range(1, deep + 1)
    )
    strings = b"\0outer\0"
    head = struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(strings))
    with pytest.raises(BtfError, match="outer has no field x"):
        Btf(head + types + strings, "test").field("outer", "x")


def test_missing_type_and_field_are_named() -> None:
    with pytest.raises(BtfError, match="no struct folio"):
        Btf(blob(), "test").size("folio")
    with pytest.raises(BtfError, match="outer has no field x"):
        Btf(blob(), "test").field("outer", "x")


@pytest.mark.live
@pytest.mark.xdist_group("live")
def test_reader_returns_nothing_for_addresses_that_cannot_be_read() -> None:
    try:
        reader = KernelReader(64, capacity=4096)
    except BpfError as error:
        pytest.skip(str(error))
    with reader:
        task = reader.current_task()
        addresses = np.array([task, 0, 1, task] * 700, np.uint64)
        data, good = reader.read(addresses)
        assert good.tolist() == [True, False, False, True] * 700
        assert not data[~good].any()


@pytest.mark.live
@pytest.mark.xdist_group("live")
def test_folio_reader_needs_no_hard_coded_address() -> None:
    try:
        require_frames()
        reader = FolioReader()
    except (NotAvailable, BpfError, BtfError) as error:
        pytest.skip(str(error))
    with reader:
        state = reader.read(np.array([1 << 50], np.uint64), np.zeros(1, np.bool_))
        assert not state.known[0]
