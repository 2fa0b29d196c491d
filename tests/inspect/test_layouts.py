"""Other kernels' struct folio: fields missing, or not as we know them, are left out and named, never a traceback."""

import os
import struct
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmaplab.errors import NotAvailable
from rmaplab.inspect.accounting import account
from rmaplab.inspect.btf import Btf, BtfError
from rmaplab.inspect.extents import Extents
from rmaplab.inspect.folio_state import FolioReader
from rmaplab.inspect.folios import ANON, Folios
from rmaplab.inspect.join import join
from rmaplab.inspect.look import look
from rmaplab.inspect.probes import KernelView, Source, probe
from rmaplab.inspect.sharing import share
from rmaplab.inspect.snapshot import of_pids, require_frames
from rmaplab.machine.live.proc import procfs

WIDTHS: Final = {
    "_refcount": 4,
    "_mapcount": 4,
    "_large_mapcount": 4,
    "_mm_ids": 8,
    "_mm_id_mapcount": 8,
    "mapping": 8,
    "swap": 8,
}
NONE: Final = np.zeros(0, np.int64)
LINUX_6_18: Final = {
    "mapping": 24, "swap": 40, "_mapcount": 48, "_refcount": 52, "_large_mapcount": 80, "_mm_id_mapcount": 96,
    "_mm_ids": 104,
}  # fmt: skip
LINUX_6_12: Final = {"mapping": 24, "swap": 40, "_mapcount": 48, "_refcount": 52, "_large_mapcount": 88}
LINUX_6_6: Final = {"mapping": 24, "swap": 40, "_mapcount": 48, "_refcount": 52}
WITHOUT_PAGE_MAPCOUNT: Final = {"mapping": 24, "swap": 40, "_refcount": 52, "_large_mapcount": 88}


def btf(fields: dict[str, int], widths: dict[str, int] = WIDTHS, size: int = 192, page: int = 64) -> Btf:
    """Type information of a struct folio with these fields at these offsets, and of a struct page."""
    names = ["", "folio", "page", "u4", "u8", "u2", *fields]
    at, strings = {}, b""
    for name in names:
        at[name] = len(strings)
        strings += name.encode() + b"\0"
    number = {2: 3, 4: 1, 8: 2}
    types = b"".join(struct.pack("=IIII", at[f"u{w}"], 1 << 24, w, 8 * w) for w in (4, 8, 2)) + struct.pack(
        "=III", at["page"], 4 << 24, page
    )
    types += struct.pack("=III", at["folio"], 4 << 24 | len(fields), size)
    for name, offset in fields.items():
        types += struct.pack("=III", at[name], number[widths.get(name, 4)], 8 * offset)
    return Btf(
        struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(strings)) + types + strings, "test"
    )


class Memory:
    """Kernel memory that was recorded: objects of 128 bytes by address."""

    def __init__(self, objects: dict[int, bytes]) -> None:
        self.objects, self.closed = objects, False

    def read(self, addresses: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        blank = bytes(128)
        data = b"".join(self.objects.get(a, blank)[:128].ljust(128, b"\0") for a in addresses.tolist())
        good = np.array([a in self.objects for a in addresses.tolist()], np.bool_)
        return np.frombuffer(data, np.uint8).reshape(-1, 128), good

    def word(self, address: int) -> int:
        return int.from_bytes(self.objects.get(address, bytes(8))[:8], "little")

    def current_task(self) -> int:
        return 0

    def close(self) -> None:
        self.closed = True


def folio(fields: dict[str, int], widths: dict[str, int] = WIDTHS, **values: int) -> bytes:
    """One struct folio's first 128 bytes; counters are stored as the kernel does, mapcounts minus one."""
    out = bytearray(128)
    for name, value in values.items():
        if name in fields:
            width = widths[name]
            out[fields[name] : fields[name] + width] = (value & (1 << 8 * width) - 1).to_bytes(width, "little")
    return bytes(out)


def reader(fields: dict[str, int], objects: Iterable[bytes], widths: dict[str, int] = WIDTHS) -> FolioReader:
    """A reader of folios 0, 1, ... of such a kernel."""
    return FolioReader(btf(fields, widths), Memory({64 * i: o for i, o in enumerate(objects)}), vmemmap=0)


@pytest.mark.parametrize("fields", [LINUX_6_18, LINUX_6_12, LINUX_6_6, WITHOUT_PAGE_MAPCOUNT])
def test_each_layout_gives_what_it_has_and_names_what_not(fields: dict[str, int]) -> None:
    values = {"_refcount": 7, "_mapcount": 4, "_large_mapcount": 11, "mapping": 0xF03, "swap": 3 << 58 | 9}
    made = reader(fields, [folio(fields, **values)] * 2)
    state = made.read(np.array([0, 1], np.uint64), np.array([False, True]))
    assert set(made.missing) == set(WIDTHS) - set(fields)
    assert state.refcount.tolist() == [7, 7]
    assert state.mapcount.tolist() == [5 if "_mapcount" in fields else -1, 12 if "_large_mapcount" in fields else -1]
    assert (made.counts_small, made.counts_large) == ("_mapcount" in fields, "_large_mapcount" in fields)
    assert state.ksm.tolist() == [True, True]
    assert state.swap.tolist() == [9 << 5 | 3] * 2
    assert state.maybe_shared.tolist() == [-1, -1]
    assert made.has_mm_ids is ("_mm_ids" in fields)


@pytest.mark.parametrize("width", [4, 8])
def test_slots_are_read_in_both_widths(width: int) -> None:
    widths = {**WIDTHS, "_mm_id_mapcount": width}
    fields = {**LINUX_6_18, "_mm_id_mapcount": 96}
    counts = 15 | 3 << 4 * width
    made = reader(fields, [folio(fields, widths, _mm_ids=5 | 1 << 63 | 6 << 32, _mm_id_mapcount=counts)], widths)
    state = made.read(np.zeros(1, np.uint64), np.ones(1, np.bool_), 63)
    assert (state.slot_id.tolist(), state.slot_count.tolist(), state.maybe_shared.tolist()) == ([[5, 6]], [[16, 4]], [1])


@pytest.mark.parametrize(
    ("fields", "widths"),
    [
        ({**LINUX_6_18, "_large_mapcount": 160}, WIDTHS),
        ({**LINUX_6_18, "_mapcount": 48}, {**WIDTHS, "_mapcount": 2}),
        ({**LINUX_6_18, "_mm_ids": 112}, {**WIDTHS, "_mm_ids": 4}),
    ],
)
def test_field_beyond_what_is_read_or_of_unknown_width_is_not_used(
    fields: dict[str, int], widths: dict[str, int]
) -> None:
    made = reader(fields, [bytes(128)], widths)
    assert len(made.missing) == 1
    made.read(np.zeros(1, np.uint64), np.ones(1, np.bool_))


def test_kernel_without_a_refcount_is_an_error_with_a_name() -> None:
    with pytest.raises(BtfError, match="no _refcount of 4 bytes"):
        reader({"_mapcount": 48}, [])


@given(
    st.dictionaries(st.sampled_from(sorted(WIDTHS)), st.integers(0, 200), max_size=7),
    st.binary(min_size=128, max_size=128),
)
def test_any_layout_is_read_or_refused_by_name(fields: dict[str, int], content: bytes) -> None:
    if fields.get("_refcount", 200) > 124:
        with pytest.raises(BtfError, match="_refcount"):
            reader(fields, [content])
        return
    made = reader(fields, [content])
    state = made.read(np.zeros(2, np.uint64), np.array([False, True]), 63)
    assert len(state.refcount) == 2


def view_of(made: FolioReader | None, *, per_page: bool) -> KernelView:
    return KernelView(
        [Source("a", "estimate", "counted per folio"), Source("b", "unknown", "no field")], made, -1, per_page
    )


@pytest.mark.parametrize("per_page", [True, False])
def test_counts_that_a_kernel_lacks_come_from_kpagecount_or_are_open(
    per_page: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small folio at frame 1 and a large one at 4 to 7, each mapped once by PTEs; the kernel has no _mapcount."""
    extents = Extents(
        np.zeros(2, np.uint32), np.array([0, 9], np.uint64), np.array([1, 4], np.uint32), np.array([1, 4], np.uint32),
        np.zeros(2, np.uint8),
    )  # fmt: skip
    owner = np.zeros(2, np.int64)
    folios = Folios(np.array([1, 4], np.uint32), np.array([0, 2], np.uint8), np.full(2, ANON, np.uint8))
    sharing = share(extents, owner, join(extents, owner), folios)
    fields = WITHOUT_PAGE_MAPCOUNT
    large = [bytes(128)] * 4 + [folio(fields, _refcount=4, _large_mapcount=3)]
    for counted, doubtful in ((1, []), (2, [0])):
        monkeypatch.setattr(procfs, "kpagecount", lambda pfns, n=counted: np.full(len(pfns), n, np.uint64))
        found = account(sharing, view_of(reader(fields, large), per_page=per_page), pmds=True, everybodys=NONE)
        assert (found.asked, found.doubtful.tolist(), found.unknown.tolist()) == (2, doubtful, [])
        found = account(sharing, view_of(None, per_page=per_page), pmds=True, everybodys=NONE)
        assert found.unknown.tolist() == ([] if per_page else [1])
    monkeypatch.setattr(procfs, "kpagecount", lambda pfns: np.ones(len(pfns), np.uint64))
    no_scan = account(sharing, view_of(reader(fields, large), per_page=per_page), pmds=False, everybodys=NONE)
    assert no_scan.unknown.tolist() == ([] if per_page else [1])
    assert any("counted per folio" in r.text for r in no_scan.reasons(sharing, "counted per folio")) is not per_page


@pytest.mark.live
@pytest.mark.xdist_group("live")
@pytest.mark.parametrize("said", [0, 2])
def test_a_kpagecount_that_is_wrong_of_pages_of_ours_is_not_used(said: int, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        require_frames()
    except NotAvailable as missing:
        pytest.skip(str(missing))
    monkeypatch.setattr(procfs, "kpagecount", lambda pfns: np.full(len(pfns), said, np.uint64))
    found = probe(bpf=False)
    assert (found.per_page, found.by_page, found.sources[0].exactness) == (False, False, "unknown")
    assert f"says {said}" in found.sources[0].why
    mine = look(lambda mms: of_pids(mms, [os.getpid()]), found)
    assert mine.exactness.label == "estimate"
    assert f"says {said}" in mine.exactness.why
