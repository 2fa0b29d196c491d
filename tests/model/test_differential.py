"""The running kernel against the model, and the machinery that compares, shrinks and reports."""

import contextlib
import io
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from kernel import lacking
from rmaplab.machine.differential import campaign as campaign_module
from rmaplab.machine.differential import corpus, runner
from rmaplab.machine.differential.campaign import Campaign
from rmaplab.machine.differential.compare import compare
from rmaplab.machine.differential.counts import Counts
from rmaplab.machine.differential.generate import Generator
from rmaplab.machine.differential.jobs import run_campaign, run_corpus
from rmaplab.machine.differential.plan import Plan
from rmaplab.machine.differential.program import Program, Run, Step, Unnamed
from rmaplab.machine.differential.script import script
from rmaplab.machine.differential.shrink import shrink
from rmaplab.machine.live import probe
from rmaplab.machine.model import ModelMachine
from rmaplab.machine.model.invariants import check
from rmaplab.machine.observation import UNKNOWN, Observation
from rmaplab.machine.protocol import OBSERVATION, MachineError
from rmaplab.trace.validate import validate

ORDERS = (2, 4, 9)
live = pytest.mark.live
can_look = pytest.mark.skipif(bool(lacking()), reason=lacking())

SHARED_THP: Program = (
    Step("spawn", makes=1),
    Step("mmap", process=1, pages=512, makes=2, order=9),
    Step("write", process=1, area=2, pages=512, value=7),
    Step("fork", process=1, makes=3),
    Step("mprotect", process=1, area=2, pages=1),
    Step("exit", process=3),
    Step("write", process=1, area=2, page=1, pages=511, value=9),
)


@live
@can_look
@pytest.mark.slow
@pytest.mark.xdist_group("differential")
def test_two_hundred_random_programs_show_the_same_world_on_kernel_and_model() -> None:
    out = io.StringIO()
    counts = run_campaign(Plan("linux-6.18"), range(200), out=out).counts
    assert counts.mismatches == 0, out.getvalue()
    assert counts.exit_code == 0, counts.report("linux-6.18")


@live
@can_look
@pytest.mark.slow
@pytest.mark.xdist_group("differential")
def test_the_programs_that_the_hunt_kept_show_the_same_world_on_kernel_and_model() -> None:
    out = io.StringIO()
    programs = corpus.read(Path(__file__).with_name("corpus.jsonl"))
    counts = run_corpus(Plan("linux-6.18"), programs, out=out)
    assert counts.programs == len(programs) > 20
    assert counts.mismatches == 0, out.getvalue()


@live
@can_look
@pytest.mark.xdist_group("differential")
def test_a_model_of_another_kernel_is_found_out_and_the_program_shrunk() -> None:
    out = io.StringIO()
    outcome = runner.settle(SHARED_THP, "linux-6.12")
    assert outcome.mismatch is not None
    assert outcome.mismatch.step == len(SHARED_THP) - 1
    small = shrink(SHARED_THP, lambda p: runner.run(p, "linux-6.12").mismatch is not None, attempts=40)
    assert len(small) < len(SHARED_THP) or small != SHARED_THP
    print(script(small, "linux-6.12 copies where the kernel reuses"), file=out)
    assert "Step('write'" in out.getvalue()


@live
@can_look
@pytest.mark.xdist_group("differential")
def test_the_same_program_agrees_under_the_running_kernels_own_policy() -> None:
    outcome = runner.run(SHARED_THP, "linux-6.18")
    assert outcome.mismatch is None
    assert outcome.compared == len(SHARED_THP)


@pytest.mark.parametrize("seed", range(1000, 1060))
def test_random_programs_keep_every_invariant_leak_nothing_and_leave_a_valid_trace(seed: int) -> None:
    kernel = ("linux-6.18", "linux-6.12", "linux-6.6", "precise:moments", "precise:packed")[seed % 5]
    program = Generator(seed, ORDERS, 30).program()
    with ModelMachine(kernel) as machine:
        run = Run(machine)
        for step in program:
            with contextlib.suppress(Unnamed):
                run.do(step)
            check(machine)
        validate(machine.trace())


def test_the_same_seed_makes_the_same_program() -> None:
    assert Generator(5, ORDERS, 30).program() == Generator(5, ORDERS, 30).program()
    assert Generator(5, ORDERS, 30).program() != Generator(6, ORDERS, 30).program()


def world() -> Observation:
    with ModelMachine() as machine:
        run = Run(machine)
        for step in SHARED_THP[:4]:
            run.do(step)
        return machine.observation()


def changed(seen: Observation, column: str, row: int, value: int) -> Observation:
    values = getattr(seen, column).copy()
    assert values[row] != value
    values[row] = value
    return replace(seen, **{column: values})


def test_renamed_frames_are_the_same_world() -> None:
    seen = world()
    assert compare(seen, replace(seen, frame=seen.frame + 4096, head=seen.head + 4096)) is None


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("state", 2, "swap"),
        ("mapcount", 1, "1"),
        ("order", 0, "0"),
        ("anon_exclusive", 1, "True"),
        ("pmd_mapped", 0, "False"),
        ("mmap_exclusive", 1, "True"),
        ("mmap_exclusive", UNKNOWN, "None"),
    ],
)
def test_a_wrong_value_in_one_row_is_found(column: str, value: int, says: str) -> None:
    found = compare(world(), changed(world(), column, 700, value))
    assert found is not None
    assert (found.what, found.model) == (column, says)


def test_two_pages_that_share_a_frame_on_one_side_only_are_found() -> None:
    seen = world()
    apart = changed(seen, "frame", 3, 999_999)
    for one, two in ((seen, apart), (apart, seen)):
        found = compare(one, two)
        assert found is not None
        assert found.what == "page"


def test_a_page_at_another_place_in_its_folio_is_found() -> None:
    seen = world()
    found = compare(seen, replace(seen, head=seen.head - 1))
    assert found is not None
    assert found.what == "place in folio"


def test_a_missing_mapping_is_found() -> None:
    seen = world()
    less = Observation(*(getattr(seen, field.name)[1:] for field in fields(seen)))
    found = compare(seen, less)
    assert found is not None
    assert found.what == "mapped"


def test_the_table_of_an_observation_has_null_where_nothing_is_known() -> None:
    seen = replace(world(), head=np.full(len(world()), UNKNOWN))
    table = seen.table()
    assert table.schema == OBSERVATION
    assert table["head"].null_count() == len(seen)
    assert table["order"].null_count() == 0


def test_shrinking_keeps_only_what_the_failure_needs() -> None:
    def fails(program: Program) -> bool:
        return any(s.do == "fork" for s in program) and any(s.do == "write" for s in program)

    small = shrink(SHARED_THP, fails)
    assert sorted(s.do for s in small) == ["fork", "write"]
    assert all(s.pages <= 1 for s in small)


def test_a_printed_script_is_python_that_names_the_program() -> None:
    text = script(SHARED_THP, "why")
    compile(text, "script", "exec")
    names: dict[str, object] = {"Step": Step}
    exec(text[text.index("PROGRAM") : text.index("with LiveMachine")], names)
    assert names["PROGRAM"] == SHARED_THP


def test_too_much_set_aside_is_a_failure() -> None:
    counts = Counts(done=100, compared=94)
    counts.aside["background"] = 5
    assert counts.exit_code == 0
    counts.aside["background"] = 6
    assert counts.exit_code == 1
    last = counts.report("linux-6.18").splitlines()[-1]
    assert last == "linux-6.18: programs 0, steps 100, compared 94, set aside 6, mismatches 0"


def test_a_step_is_not_run_when_what_it_names_was_never_made() -> None:
    with ModelMachine() as machine, pytest.raises(KeyError):
        Run(machine).do(replace(SHARED_THP[1], process=77))


def test_a_machine_that_fails_is_set_aside_by_name_and_ends_no_campaign(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MachineError("other live machines kept the system")

    if lacking():
        pytest.skip(lacking())
    monkeypatch.setattr(campaign_module, "settle", fail)
    out = io.StringIO()
    counts = Campaign(Plan("linux-6.18"), out).one(0)
    assert counts.aside["machine error"] == counts.done > 0
    assert counts.exit_code == 1
    assert "seed 0: other live machines kept the system" in out.getvalue()


_MERGEABLE = """
import mmap, sys
memory = mmap.mmap(-1, 1 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
memory.write(b"x" * (1 << 20))
memory.madvise(mmap.MADV_MERGEABLE)
print("there", flush=True)
sys.stdin.read()
"""


@live
@can_look
@pytest.mark.xdist_group("differential")
def test_somebody_else_who_begins_to_use_ksm_midway_sets_programs_aside_by_name_and_ends_nothing() -> None:
    if not probe().has("ksm"):
        pytest.skip(f"ksm: {probe()['ksm'].why_not}")
    out = io.StringIO()
    campaign, total = Campaign(Plan("linux-6.18"), out), Counts()
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", _MERGEABLE], stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "there\n"
        for _, counts in campaign.run(range(40)):
            total += counts
            if counts.aside["surroundings: KSM"]:
                break
        assert other.stdin is not None
        other.stdin.close()
    assert total.aside["surroundings: KSM"] > 0, out.getvalue()
    assert total.mismatches == 0
    assert total.exit_code == 0, "others' doing fails no campaign"
    assert "mergeable memory of their own" in out.getvalue()
