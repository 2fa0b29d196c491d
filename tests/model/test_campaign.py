"""A campaign survives what is around it, goes on where it ended, and its parts add up."""

import io
import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands import rmaplab
from kernel import lacking
from rmaplab.campaigns import CampaignError, Shard, carry_out
from rmaplab.machine.differential import jobs as jobs_module
from rmaplab.machine.differential import runner, surroundings
from rmaplab.machine.differential.campaign import Campaign
from rmaplab.machine.differential.counts import Counts
from rmaplab.machine.differential.generate import ALONE, Generator
from rmaplab.machine.differential.jobs import run_campaign
from rmaplab.machine.differential.plan import OPTIONAL, Plan, Seeds, without
from rmaplab.machine.differential.program import Program, Result, Run, Step
from rmaplab.machine.differential.units import Programs, Told
from rmaplab.machine.live import LiveMachine, probe
from rmaplab.machine.live.workers.swap import Swap
from rmaplab.machine.protocol import BadOperation
from rmaplab.system.signals import Interrupted

live = pytest.mark.live
alone = pytest.mark.xdist_group("differential")
can_look = pytest.mark.skipif(bool(lacking()), reason=lacking())
SIX: Plan = Plan("linux-6.18", 10)

names = st.text("abc: ", min_size=1, max_size=6)
counters = st.dictionaries(names, st.integers(1, 9), max_size=3).map(Counter)
sums = st.builds(
    Counts,
    *[st.integers(0, 99)] * 4,
    aside=counters,
    operations=counters,
    reached=counters,
)


@given(sums, sums, sums)
def test_counts_add_up_in_any_order_and_nothing_changes_nothing(one: Counts, two: Counts, three: Counts) -> None:
    assert (one + two) + three == one + (three + two)
    assert one + Counts() == one


@given(sums)
def test_what_a_file_keeps_of_counts_is_all_of_them(counts: Counts) -> None:
    assert Counts.of(json.loads(json.dumps(counts.to_dict()))) == counts


@given(sums, sums)
def test_what_programs_came_to_adds_up_and_is_all_of_it_in_a_file(one: Counts, two: Counts) -> None:
    told, other = Told(one, {7: "seed 7: x"}), Told(two, {5: "seed 5: y"})
    both = told.merge(other)
    assert both == other.merge(told) == Told().merge(both)
    assert list(both.said) == [5, 7]
    assert Told.read(json.loads(json.dumps(both.to_json()))) == both
    assert json.dumps(both.to_json()) == json.dumps(other.merge(told).to_json())
    with pytest.raises(ValueError, match="seed 7 is in both"):
        told.merge(told)


@pytest.mark.parametrize("plan", [Plan("linux-6.12", 10), Plan("linux-6.18", 11), Plan("linux-6.18", 10, without("ksm"))])
def test_a_part_of_other_programs_is_refused_and_stays_as_it_is(tmp_path: Path, plan: Plan) -> None:
    carry_out(Programs.here(SIX, range(0)), directory=tmp_path)
    before = (tmp_path / "differential-1-of-1.json").read_bytes()
    with pytest.raises(CampaignError, match=r"of another campaign: (kernel|steps|without) "):
        carry_out(Programs.here(plan, range(0)), directory=tmp_path)
    assert (tmp_path / "differential-1-of-1.json").read_bytes() == before


@pytest.mark.parametrize("text", ["1", "1:", ":2", "2:1", "-1:2", "1:2:3", "1:99999999999", "a:b", "١:٢", ""])
def test_seeds_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(BadOperation, match=f"seeds: {re.escape(text)}"):
        Seeds.parse(text)


def test_seeds_are_both_ends_and_all_between() -> None:
    assert list(Seeds.parse("3:5").range()) == [3, 4, 5]
    assert list(Seeds.parse("0:0").range()) == [0]


def test_an_unknown_thing_to_go_without_is_refused() -> None:
    with pytest.raises(BadOperation, match="without: zram: must be of ksm, swap, disk, khugepaged, sharing"):
        Plan("linux-6.18", 30, without("ksm,zram"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--seeds", "5"), "must be A:B"),
        (("--seeds", "1:2", "-n", "3"), "must come without --seeds"),
        (("--without", "thp"), "must be of ksm"),
        (("-n", "1", "--resume", "/dev/null"), "/dev/null"),
        (("-n", "1", "--shard", "1/2"), "must come with --resume"),
        (("-n", "1", "--on-workers"), "must come without no --scheduler"),
        (("-n", "1", "--scheduler", "local"), "must come with --guest KERNEL"),
        (("-n", "1", "--scheduler", "local", "--guest", "6.12", "--on-workers"), "must come with --guest KERNEL"),
        (("-n", "1", "--scheduler", "local", "--guest", "6.12", "--jobs", "2"), "must come without --scheduler"),
    ],
)
def test_the_command_refuses_in_one_line(arguments: tuple[str, ...], says: str) -> None:
    ended = rmaplab("differential", *arguments)
    assert ended.returncode == 2
    assert says in ended.stderr
    assert not ended.stdout


@live
@can_look
@alone
def test_programs_do_without_what_they_shall() -> None:
    out = io.StringIO()
    campaign = Campaign(Plan("linux-6.18", 30, frozenset(OPTIONAL)), out)
    total = sum((counts for _, counts in campaign.run(range(3))), Counts())
    assert total.mismatches == 0, out.getvalue()
    for name in OPTIONAL:
        assert f"without {name}: as was asked for" in out.getvalue()
    for seed in range(200):
        steps = Generator(seed, (9,), 30, **dict.fromkeys(OPTIONAL, False)).program()
        assert not {step.do for step in steps} & {"merge", "swap", "vfork", "clone_vm"}
        assert not any(step.kind == "file" for step in steps)


@live
@can_look
@alone
def test_parts_resumed_after_an_interrupt_and_merged_say_what_one_in_one_piece_says(tmp_path: Path) -> None:
    whole = rmaplab("differential", "--seeds", "40:43", "--steps", "10", "--json")
    campaign = Programs.here(SIX, range(40, 44))
    with pytest.raises(Interrupted):
        carry_out(campaign, Shard(1, 2), tmp_path, each=interrupting)
    for number, resume in ((1, tmp_path), (2, tmp_path / "other")):
        part = ("--shard", f"{number}/2", "--resume", str(resume))
        assert rmaplab("differential", "--seeds", "40:43", "--steps", "10", *part).returncode == whole.returncode
    merged = rmaplab("merge", str(tmp_path), str(tmp_path / "other"), "--json")
    assert (merged.stdout, merged.returncode) == (whole.stdout, whole.returncode)


def interrupting(*_: object) -> None:
    raise Interrupted(signal.SIGINT)


@live
@can_look
@alone
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU only")
def test_a_job_that_dies_takes_one_program_along_and_not_the_campaign(monkeypatch: pytest.MonkeyPatch) -> None:
    start, killed = jobs_module._start, []

    def dying(plan: Plan, seeds: list[int], cpu: int) -> jobs_module._Job:
        job = start(plan, seeds, cpu)
        if not killed:
            killed.append(job.process.pid)
            job.process.kill()
        return job

    monkeypatch.setattr(jobs_module, "_start", dying)
    out = io.StringIO()
    counts = run_campaign(SIX, range(40, 46), 2, out).counts
    assert counts.programs == 6
    assert counts.aside == Counter({"machine error": SIX.steps})
    assert counts.compared > 0
    assert f"a job (pid {killed[0]}) ended with code {-signal.SIGKILL}" in out.getvalue()


@contextmanager
def somebodys_ksm() -> Iterator[None]:
    """Mergeable memory of a process that is not the live machine's, as a QEMU has it."""
    program = (
        "import mmap, sys; memory = mmap.mmap(-1, 1 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS);"
        "memory.write(bytes(1 << 20)); memory.madvise(mmap.MADV_MERGEABLE); print('there', flush=True); sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", program], stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == "there\n"
        try:
            yield
        finally:
            other.stdin.close()


@contextmanager
def somebodys_swap() -> Iterator[None]:
    """A swap device that no live machine made, as an administrator's swapon makes one."""
    swap = Swap()
    try:
        swap.on(64 << 20)
        yield
    finally:
        swap.off()


LATE: Program = (
    Step("spawn", makes=1),
    Step("mmap", process=1, pages=1, makes=2),
    Step("madvise", process=1, area=2, pages=1, advice="mergeable"),
    Step("write", process=1, area=2, pages=1, value=0),
    Step("merge"),
    Step("madvise", process=1, area=2, pages=1, advice="pageout"),
)


def finish(pair: runner.Pair, steps: Program) -> None:
    for step in steps:
        pair.do(step)


@live
@can_look
@alone
@pytest.mark.parametrize("what", ["KSM", "swap"])
def test_what_others_begin_in_the_middle_of_a_program_sets_the_rest_of_it_aside_by_name(what: str) -> None:
    for needed in ("ksm", "swap"):
        if not probe().has(needed):
            pytest.skip(f"{needed}: {probe()[needed].why_not}")
    program = LATE if what == "KSM" else (*LATE[:2], LATE[3], LATE[5])
    others = somebodys_ksm if what == "KSM" else somebodys_swap
    with runner.Pair("linux-6.18") as pair:
        for step in program[:3]:
            assert pair.do(step) is None
        with others(), pytest.raises(runner.SetAside, match=f"^surroundings: {what}$"):
            finish(pair, program[3:])


@live
@can_look
@alone
def test_who_drives_a_pair_can_listen_to_the_answers_of_both() -> None:
    heard: dict[str, list[Result]] = {"live": [], "model": []}

    def listen(to: Run, said: list[Result]) -> None:
        do = to.do

        def done(step: Step) -> Result:
            said.append(do(step))
            return said[-1]

        to.do = done  # type: ignore[method-assign]

    read = Step("read", process=1, area=2, pages=1)
    with runner.Pair("linux-6.18") as pair:
        listen(pair._ours, heard["live"])
        listen(pair._theirs, heard["model"])
        finish(pair, (*LATE[:2], replace(LATE[3], value=7), read))
    assert [bytes(said[-1].value) for said in heard.values()] == [b"\7", b"\7"]


@live
@can_look
@alone
def test_without_others_the_same_programs_agree() -> None:
    if not probe().has("ksm"):
        pytest.skip(f"ksm: {probe()['ksm'].why_not}")
    assert runner.run(LATE, "linux-6.18").mismatch is None
    assert runner.run((*LATE[:2], LATE[3], LATE[5]), "linux-6.18").mismatch is None


@pytest.mark.parametrize(
    ("counter", "names"),
    [
        ("thp_file_fallback 1", "allocation"),
        ("pgsteal_kswapd 32", "surroundings: memory"),
        ("compact_isolated 5", "surroundings: memory"),
        ("pgfault 5", ""),
    ],
)
def test_a_shortage_of_memory_is_known_by_the_kernels_counters(
    counter: str, names: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vmstat = tmp_path / "vmstat"
    monkeypatch.setattr(surroundings, "_VMSTAT", vmstat)
    vmstat.write_text("pgfault 4\npgsteal_kswapd 31\ncompact_isolated 4\nthp_file_fallback 0\n")
    before = surroundings.Shortage.now()
    name = counter.split(maxsplit=1)[0]
    lines = [counter if line.startswith(name) else line for line in vmstat.read_text().splitlines()]
    vmstat.write_text("\n".join(lines))
    assert before.since() == names


def test_what_programs_must_be_alone_is_known_without_making_them() -> None:
    for seed in range(200):
        program = Generator(seed, (2, 4, 9), 30).program()
        needs = any(step.do in ("swap", "merge") or step.advice == "mergeable" for step in program)
        assert needs <= Generator(seed, (), 30).alone
    without_all = dict.fromkeys(ALONE, False)
    assert not any(Generator(seed, (), 30, **without_all).alone for seed in range(200))


@live
@alone
@can_look
def test_programs_do_without_a_khugepaged_that_collapses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked by memory that anybody would collapse: whether it is there says little (guests whose khugepaged idles)."""
    out = io.StringIO()
    Campaign(SIX, out)
    assert "khugepaged" not in out.getvalue()
    monkeypatch.setattr(LiveMachine, "khugepaged", lambda *_, **__: None)
    campaign = Campaign(SIX, out)
    assert "without khugepaged: khugepaged left 2 MiB alone" in out.getvalue()
    assert not any(step.do == "khugepaged" for seed in range(80) for step in campaign.program(seed))
