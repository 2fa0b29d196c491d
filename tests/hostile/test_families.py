"""Families and groups: who shares how much, and how an inheritance erodes; the truth known by construction."""

import json
from collections.abc import Iterator

import pytest
from looking import area, look_at
from places import HERE, Place
from tenants import FIXED, PAGE, PMD, SHARED, Household, Tenant

from rmaplab.inspect.erosion import worker_rows
from rmaplab.inspect.fork_price import what_if_fork
from rmaplab.inspect.groups import HOST, container, total
from rmaplab.inspect.look import Look, look
from rmaplab.inspect.probes import KernelView, probe
from rmaplab.inspect.snapshot import of_pids
from rmaplab.inspect.views import Row, rows, sort_rows

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("live"), pytest.mark.usefixtures("frames")]

PAGES = 64
SIZE = PAGES * PAGE


@pytest.fixture(scope="module")
def view() -> Iterator[KernelView]:
    made = probe()
    yield made
    made.close()


def family_of(view: KernelView, *tenants: Tenant, mapping: str | None = None) -> Look:
    pids = [tenant.pid for tenant in tenants]
    return look(lambda mms: of_pids(mms, pids), view, addresses=True, family=True, mapping=mapping)


def inheritance(found: Look, tenant: Tenant, at: int) -> Row:
    """Pages of the worker's VMA at `at`, by what became of them."""
    assert found.family is not None
    worker = next(r for r in worker_rows(found.snapshot, found.family.workers, addresses=True) if r["pid"] == tenant.pid)
    row = next(vma for vma in worker["vmas"] if int(vma["start"], 16) <= at < int(vma["end"], 16))
    return {name: row[name] // PAGE for name in ("still_shared", "alone", "copied", "born")}


def test_what_a_worker_wrote_is_copied_and_what_the_others_left_is_its_own(view: KernelView, tenants: Household) -> None:
    if view.reader is None:
        pytest.skip("no BPF: a page that was left alone cannot be told from a copy")
    parent = tenants.start()
    at = parent.map(SIZE, at=parent.map(SIZE + 2 * PAGE, prot=0) + PAGE, flags=2 | FIXED | 0x20)
    parent.do("advise", at, SIZE, 15)
    parent.write(at, SIZE - 4 * PAGE)
    one, other = parent.fork(), parent.fork()
    one.write(at, 16 * PAGE)
    parent.write(at + 50 * PAGE, 8 * PAGE)
    one.write(at + 60 * PAGE, 2 * PAGE)
    found = family_of(view, parent, one, other)
    assert inheritance(found, one, at) == {"still_shared": 44, "alone": 0, "copied": 16, "born": 2}
    assert inheritance(found, other, at) == {"still_shared": 60, "alone": 0, "copied": 0, "born": 0}
    other.end()
    assert inheritance(family_of(view, parent, one), one, at) == {"still_shared": 36, "alone": 8, "copied": 16, "born": 2}


def test_a_worker_of_a_worker_inherits_from_both(view: KernelView, tenants: Household) -> None:
    parent = tenants.start()
    at = parent.memory(SIZE)
    worker = parent.fork()
    worker.write(at, 16 * PAGE)
    child = worker.fork()
    child.write(at + 8 * PAGE, 16 * PAGE)
    found = inheritance(family_of(view, parent, worker, child), child, at)
    assert found["still_shared"] == 48
    assert found["copied"] == 16


def test_all_some_and_one_add_up_and_follow_a_write(view: KernelView, tenants: Household) -> None:
    parent = tenants.start()
    at = parent.memory(SIZE)
    one, other = parent.fork(), parent.fork()
    one.write(at, PAGE)  # what it runs to write is mapped from now on
    before = family_of(view, parent, one, other)
    one.write(at, 17 * PAGE)
    after = family_of(view, parent, one, other)
    assert before.family is not None
    assert after.family is not None
    old, new = before.family.common, after.family.common
    assert (new.all - old.all, new.some - old.some, new.one - old.one) == (-16 * PAGE, 16 * PAGE, 16 * PAGE)
    mapped = sum(number * size for number, size in enumerate(new.by_members, 1))
    assert mapped == sum(row["resident"] for row in rows(after.scope, "process", details=False))


def test_a_group_owns_what_nobody_outside_of_it_maps(view: KernelView, tenants: Household) -> None:
    parent = tenants.start(Place(nobody=True))
    parent.do("name", text=b"a\x1b[31m group")
    at = parent.memory(SIZE)
    child = parent.fork()
    child.write(at, SIZE // 2)
    found = look_at(view, parent, child)
    for by, name in (("user", "nobody"), ("command", "a\x1b[31m group")):
        (row,) = [row for row in rows(found.scope, by) if row[by] == name]  # type: ignore[arg-type]
        assert row["processes"] == 2
        assert row["exclusive"] >= SIZE + SIZE // 2 + SIZE // 2
    whole = total(found.scope)
    (row,) = rows(found.scope, "user")
    assert {key: whole[key] for key in ("resident", "exclusive", "uss", "pss")} == {
        key: row[key] for key in ("resident", "exclusive", "uss", "pss")
    }


def test_a_file_is_a_row_and_a_pattern_chooses_mappings(view: KernelView, tenants: Household) -> None:
    one, other = tenants.start(), tenants.start()
    at = one.memfd(b"group [red]\nfile", SIZE)
    fd = other.do("open", text=f"/proc/{one.pid}/map_files/{at:x}-{at + SIZE:x}".encode())
    there = other.map(SIZE, flags=SHARED, fd=fd)
    other.do("read", there, SIZE)
    found = family_of(view, one, other, mapping=r"memfd:group")
    (row,) = [row for row in rows(found.scope, "file") if row["resident"]]
    assert "group [red]" in row["file"]
    assert (row["processes"], row["resident"], row["shared"]) == (2, 2 * SIZE, 2 * SIZE)
    assert {row["resident"] for row in rows(found.scope, "process")} == {SIZE}
    assert (total(found.scope)["resident"], total(found.scope)["uss"]) == (2 * SIZE, SIZE)
    assert area(found, one, at)["resident"] == SIZE


@pytest.mark.parametrize(
    ("cgroup", "name"),
    [
        ("/", HOST),
        ("/user.slice/user-1000.slice/session-1.scope", HOST),
        (f"/system.slice/docker-{'0123456789ab' + 'c' * 52}.scope", "0123456789ab"),
        (f"/docker/{'0123456789ab' + 'c' * 52}", "0123456789ab"),
        (f"/kubepods/burstable/pod1/{'0123456789ab' + 'c' * 52}", "0123456789ab"),
        (f"/kubepods.slice/x/cri-containerd-{'0123456789ab' + 'c' * 52}.scope", "0123456789ab"),
        (f"/machine.slice/libpod-{'0123456789ab' + 'c' * 52}.scope/container", "0123456789ab"),
        ("/machine.slice/machine-web.scope", "web"),
        ("/lxc.payload.web/x", "web"),
        ("/lxc/web", "web"),
    ],
)
def test_a_container_is_told_by_its_cgroup(cgroup: str, name: str) -> None:
    assert container(cgroup) == name


def test_rows_sort_by_several_keys_in_either_direction() -> None:
    found: list[Row] = [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}, {"a": 2, "b": "x"}]
    assert [(r["a"], r["b"]) for r in sort_rows(found, ["a", "b"], None)] == [(2, "x"), (2, "y"), (1, "x")]
    assert [(r["a"], r["b"]) for r in sort_rows(found, ["-a", "-b"], None)] == [(1, "x"), (2, "y"), (2, "x")]


def test_the_command_line_finds_the_family_and_shows_the_columns_asked_for(tenants: Household) -> None:
    parent = tenants.start()
    parent.memory(SIZE)
    child = parent.fork()
    done = HERE.rmaplab("inspect", parent.pid, "--family", "--total", "--columns", "pid,uss", "--sort=-pid", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert [list(row) for row in said["rows"]] == [["pid", "uss"]] * 2
    assert [row["pid"] for row in said["rows"]] == sorted([parent.pid, child.pid])
    assert said["family"]["all"] >= SIZE
    assert said["total"]["processes"] == 2
    wrong = HERE.rmaplab("inspect", parent.pid, "--columns", "pid,\x1bnone")
    assert wrong.returncode == 2
    assert wrong.stderr.decode().splitlines()[-1].startswith("rmaplab: --columns \\x1bnone: must be one of ")
    shown = HERE.rmaplab("inspect", parent.pid, "--family", "--by", "worker")
    assert "still" in shown.stdout.decode()
    assert "family of 2 address spaces" in shown.stdout.decode()


def test_without_page_mapcounts_a_third_mapper_hides_who_owns_what(view: KernelView, tenants: Household) -> None:
    """One THP, PTE-mapped by three; two of them keep one page each. True: the third owns 510 pages alone."""
    if view.flag_bit < 0:
        pytest.skip("the kernel's maybe-shared flag is not understood here")
    parent = tenants.start()
    at = parent.thp(PMD)
    parent.do("protect", at, PAGE, 1)
    parent.do("protect", at, PAGE, 3)
    one, other = parent.fork(), parent.fork()
    for child, page in ((one, 0), (other, 1)):
        for low, high in ((0, page), (page + 1, 512)):
            if high > low:
                child.do("unmap", at + low * PAGE, (high - low) * PAGE)
    pids = [tenant.pid for tenant in (parent, one, other)]
    found = look(lambda mms: of_pids(mms, pids), view, statistics=True, addresses=True)
    if not area(found, parent, at)["resident"] or found.scope.large is None or not len(found.scope.large.row):
        pytest.skip("no THP to be had")
    said = found.without_page_mapcounts()
    row = next(r for r in said["processes"] if r["pid"] == parent.pid)
    vma = area(found, parent, at)
    assert vma["uss"] == 510 * PAGE
    assert row["uss_true"] - row["uss_then"] == 510 * PAGE  # the flag says shared: nothing of it is Uss
    assert row["bit_true"] - row["bit_then"] == 510 * PAGE
    assert row["pss_then"] - row["pss_true"] == pytest.approx(2 * PAGE / 2, abs=2)  # (514 + 256) >> 9 is 1: all 512 pages
    assert abs(row["uss_now"] - row["uss_true"]) <= 2 * PAGE
    assert said["all"]["partial"] == said["all"]["partial_noticed"] == 0


def test_without_page_mapcounts_partial_mappings_of_shared_folios_go_unnoticed(
    view: KernelView, tenants: Household
) -> None:
    parent = tenants.start()
    at = parent.thp(PMD)
    parent.do("protect", at, PAGE, 1)
    parent.do("protect", at, PAGE, 3)
    child = parent.fork()
    for tenant in (parent, child):
        tenant.do("unmap", at, PMD // 4)
    found = look(lambda mms: of_pids(mms, [parent.pid, child.pid]), view, statistics=True)
    if found.scope.large is None or not len(found.scope.large.row):
        pytest.skip("no THP to be had")
    told = found.without_page_mapcounts()["all"]
    assert (told["partial"], told["partial_noticed"]) == (1, 0)  # 2 * 384 mappings of 512 pages
    assert told["anon_then"] - told["anon_now"] == PMD // 4
    child.end()
    told = look(lambda mms: of_pids(mms, [parent.pid]), view, statistics=True).without_page_mapcounts()["all"]
    assert (told["partial"], told["partial_noticed"]) == (1, 1)


def test_the_total_counts_once_what_the_targets_map_and_nothing_of_others(view: KernelView, tenants: Household) -> None:
    parent = tenants.start()
    at = parent.thp(PMD)
    child = parent.fork()
    child.do("unmap", at + PAGE, PMD - PAGE)
    found = look_at(view, child)
    whole = total(found.scope)
    assert whole["once"] <= whole["resident"] < PMD
    both = total(look_at(view, parent, child).scope)
    assert PMD <= both["once"] < both["resident"]


def test_what_a_child_does_not_get_is_in_no_price_of_a_fork(view: KernelView, tenants: Household) -> None:
    parent = tenants.start()
    length, dontfork, wipeonfork = 64 * PAGE, 10, 18
    stays = [parent.memory(length) for _ in range(3)]
    for at, advice in zip(stays, (dontfork, wipeonfork), strict=False):
        parent.do("advise", at, length, advice)
    found = look_at(view, parent)

    def meanwhile(_: float) -> None:
        for at in stays:
            parent.write(at, length, 9)

    price = what_if_fork(found.snapshot, int(found.snapshot.targets[0]), 0.1, meanwhile)
    assert length <= price.private < 2 * length
    assert length <= price.least <= price.most < 2 * length
