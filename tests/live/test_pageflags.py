"""No bit of kpageflags is believed that is not what it should be on memory of our own."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from rmaplab.errors import NotAvailable
from rmaplab.inspect.folios import ANON, KSM, SHMEM, kinds
from rmaplab.inspect.look import look
from rmaplab.inspect.probes import probe as probe_sources
from rmaplab.inspect.snapshot import everybody, of_pids, require_frames, take
from rmaplab.inspect.views import rows
from rmaplab.machine.live import LiveMachine
from rmaplab.machine.live import probe as capabilities
from rmaplab.machine.live.proc import pageflags, procfs
from rmaplab.machine.live.proc.pageflags import PageFlags, probe

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("live")]

REAL = procfs.kpageflags
SIZE = 1 << 20


@pytest.fixture(autouse=True)
def frames() -> Iterator[None]:
    try:
        require_frames()
    except NotAvailable as reason:
        pytest.skip(str(reason))
    yield
    pageflags.here.cache_clear()


def ksm_on_every_anonymous_page(pfns: np.ndarray) -> np.ndarray:
    """As stock 6.12: a mask of two bits is tested as if it were one."""
    flags = REAL(pfns)
    return np.where((flags & procfs.KPF_ANON) != 0, flags | procfs.KPF_KSM, flags)


def without(bit: np.uint64) -> Callable[[np.ndarray], np.ndarray]:
    return lambda pfns: REAL(pfns) & ~bit


def with_(bit: np.uint64) -> Callable[[np.ndarray], np.ndarray]:
    return lambda pfns: REAL(pfns) | bit


def test_this_kernels_bits_are_what_they_should_be_or_named() -> None:
    for name, seen in probe().refuted.items():
        assert "of ours" in seen, name


def test_bit_that_every_anonymous_page_has_is_not_used() -> None:
    known = probe(ksm_on_every_anonymous_page)
    assert known.refuted == {"ksm": "set on a small anonymous page of ours"}
    anonymous = procfs.KPF_MMAP | procfs.KPF_ANON | procfs.KPF_SWAPBACKED | procfs.KPF_KSM
    assert kinds(np.array([anonymous]), known).tolist() == [ANON]
    assert kinds(np.array([anonymous]), PageFlags()).tolist() == [KSM]
    assert not known.folios


@pytest.mark.parametrize("name", ["mmap", "anon", "swapbacked", "zero_page", "anon_exclusive"])
def test_bit_that_is_missing_where_it_must_be_is_not_used(name: str) -> None:
    bit = getattr(procfs, f"KPF_{name.upper()}")
    assert "not set on" in probe(without(bit)).refuted[name]


@pytest.mark.parametrize("name", ["swapcache", "hugetlb", "ksm", "zero_page", "anon"])
def test_bit_that_is_set_where_it_must_not_be_is_not_used(name: str) -> None:
    bit = getattr(procfs, f"KPF_{name.upper()}")
    assert "set on" in probe(with_(bit)).refuted[name]


def test_kernel_whose_folios_cannot_be_told_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(procfs, "kpageflags", without(procfs.KPF_ANON))
    view = probe_sources(bpf=False)
    with pytest.raises(NotAvailable, match="kpageflags: anon: not set on"):
        take(view, everybody)


def test_inspector_takes_no_anonymous_memory_for_ksm_on_such_a_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    with LiveMachine() as machine:
        one = machine.spawn()
        at = one.mmap(SIZE, order=0)
        one.write(at, SIZE)
        monkeypatch.setattr(procfs, "kpageflags", ksm_on_every_anonymous_page)
        view = probe_sources()
        try:
            found = look(lambda mms: of_pids(mms, [one.pid]), view, write=True)
        finally:
            view.close()
        assert any("ksm" in s.name and "not used" in s.why for s in view.sources)
        kinds_seen = {r["kind"] for r in rows(found.scope, "folio")}
        assert "anon" in kinds_seen
        assert "ksm" not in kinds_seen
        assert found.prices[one.pid].ksm == 0


def test_live_machine_asks_about_anonymous_memory_on_such_a_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(procfs, "kpageflags", ksm_on_every_anonymous_page)
    pageflags.here.cache_clear()
    here = capabilities()
    assert not here["ksm"].here
    assert "kpageflags: ksm: set on a small anonymous page of ours" in here["ksm"].why_not
    with LiveMachine() as machine:
        one = machine.spawn()
        at = one.mmap(SIZE, order=0)
        one.write(at, SIZE)
        two = one.fork()
        two.write(at, SIZE // 2)
        trace = machine.trace()
    assert set(trace.folios["kind"].to_list()) == {"anon"}
    assert len(trace.questions) > 0


def test_live_machine_refuses_a_kernel_whose_folios_cannot_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(procfs, "kpageflags", without(procfs.KPF_SWAPBACKED))
    pageflags.here.cache_clear()
    with pytest.raises(NotAvailable, match="kpageflags: swapbacked: not set on"):
        capabilities().require()


def test_shmem_needs_its_bit() -> None:
    flags = np.array([procfs.KPF_MMAP | procfs.KPF_SWAPBACKED])
    assert kinds(flags, PageFlags()).tolist() == [SHMEM]
    assert kinds(flags, PageFlags({"swapbacked": "x"})).tolist() != [SHMEM]
