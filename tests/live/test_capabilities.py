"""What is missing is said in one line, with what still works; what is there is used."""

import os
from pathlib import Path

import pytest

from rmaplab.errors import NotAvailable
from rmaplab.machine.live import LiveMachine, probe
from rmaplab.machine.live.host import knobs
from rmaplab.machine.live.proc import procfs
from rmaplab.machine.protocol import OBSERVATION, PAGE_SIZE, PMD_SIZE

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("live")]

NOBODY = 65534


def as_nobody(program: str) -> str:
    """What `program` prints in a child of this process that has become an ordinary user."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            # An ordinary user's process may read its own /proc files; one that has just dropped root may not.
            import ctypes  # noqa: PLC0415

            ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
            os.dup2(write, 1)
            scope: dict[str, object] = {}
            exec(program, scope)
            os.write(1, str(scope["said"]).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read) as out:
        said = out.read()
    assert os.waitpid(pid, 0)[1] == 0, "the child failed"
    return said


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")


@needs_root
def test_without_root_the_live_machine_says_in_one_line_what_is_missing_and_what_works() -> None:
    said = as_nobody(
        "from rmaplab.machine.live import LiveMachine\n"
        "from rmaplab.errors import NotAvailable\n"
        "try:\n    LiveMachine(); said = 'it worked'\n"
        "except NotAvailable as error:\n    said = error\n"
    )
    assert said.startswith("the live machine cannot work here: missing pfns (pagemap hides PFNs: needs CAP_SYS_ADMIN)")
    assert "kpageflags" in said
    assert said.endswith("the model and recorded traces still work")
    assert "\n" not in said


@needs_root
def test_without_root_pagemap_and_pmd_ranges_still_work() -> None:
    said = as_nobody(
        "from rmaplab.machine.live import probe\nfrom rmaplab.machine.live.proc import procfs\n"
        "can = probe()\n"
        "said = [item.name for item in can.items if item.here], procfs.pfns_visible()\n"
    )
    here, visible = eval(said)
    assert {"pagemap", "pmd_ranges"} <= set(here)
    assert not {"pfns", "kpageflags", "kpagecount", "knobs"} & set(here)
    assert visible is False


def test_without_thp_small_folios_work_and_large_ones_are_refused(
    machine: LiveMachine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(knobs, "THP", tmp_path)
    assert [item.name for item in probe().missing()] == ["thp", "mthp", "shmem_thp", "knobs"]
    process = machine.spawn()
    address = process.mmap(PAGE_SIZE)
    assert process.write(address, PAGE_SIZE).pages == 1
    with pytest.raises(NotAvailable, match="offers no size; order 0 works"):
        process.mmap(PMD_SIZE, order=9)


def test_without_kpageflags_nothing_can_be_recorded(
    machine: LiveMachine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    machine.close()
    for name in os.listdir("/proc"):
        if name not in ("kpageflags", "kpagecount"):
            (tmp_path / name).symlink_to(f"/proc/{name}")
    (tmp_path / str(os.getpid())).unlink(missing_ok=True)
    (tmp_path / str(os.getpid())).symlink_to("/proc/self")
    monkeypatch.setattr(procfs, "PROC", tmp_path)
    with pytest.raises(NotAvailable, match=r"missing kpageflags \(.*kpageflags: No such file or directory\)"):
        LiveMachine()


def test_observation_tells_every_page_of_every_process(thp: LiveMachine) -> None:
    process = thp.spawn()
    address = process.mmap(2 * PMD_SIZE, order=9)
    process.write(address, PMD_SIZE)
    child = process.fork()
    child.munmap(address, PAGE_SIZE)
    process.write(address, PAGE_SIZE)
    seen = thp.observe()
    assert seen.schema == OBSERVATION
    parent, other = (seen.filter(mm=mm).sort("address") for mm in (1, 2))
    assert (len(parent), len(other)) == (1024, 1023)
    assert parent["state"].to_list() == ["present"] * 512 + ["none"] * 512
    assert parent["order"].to_list() == [0] + [9] * 511 + [None] * 512
    assert parent["mapcount"].to_list() == [1] + [2] * 511 + [None] * 512
    assert parent["anon_exclusive"].to_list() == [True] + [False] * 511 + [None] * 512
    assert parent["frame"][1:512].to_list() == other["frame"][:511].to_list()
    assert parent["head"][1:512].n_unique() == 1
    assert not parent["pmd_mapped"].any()
    assert parent["mmap_exclusive"].to_list()[:512] == [True] + [False] * 511


def test_observation_shows_zero_pages_as_no_folio(machine: LiveMachine) -> None:
    process = machine.spawn()
    process.read(process.mmap(2 * PAGE_SIZE), 2 * PAGE_SIZE)
    seen = machine.observe()
    assert seen["state"].to_list() == ["present"] * 2
    assert seen["frame"].n_unique() == 1
    assert seen["head"].null_count() == seen["mapcount"].null_count() == 2
