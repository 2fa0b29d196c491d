"""The machines of System.v and Interleaved.v equal the model's: mapcounts, references, COW decisions and every byte read.

Random programs of processes on one folio of four pages (touch, fork, write, unmap of several pages, pin, exit) run on
`ModelMachine`, its IDs recycled; in Rocq (Machines.v) by `play`, which only makes moves (claim `plays_are_runs`); and
again with what Interleaved.v's steps change, one operation after the other.
"""

import random
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import count, pairwise, product
from pathlib import Path

import pytest
from rocq import build, compile_theory, evaluate, needs_coqc
from rocq import replace as change
from test_link import random_sequence, replay, rocq_list

from rmaplab.core import Folios, Op, available, variants, why_missing
from rmaplab.machine.model import ContentLeak, ModelMachine, kernels
from rmaplab.machine.model.process import ModelProcess
from rmaplab.machine.protocol import PAGE_SIZE, Pin
from rmaplab.schemes import SCHEMES
from rmaplab.schemes.uniform import Uniform

pytestmark = needs_coqc

PAGES, MOST, STEPS, PROGRAMS = 4, 4, 14, 8

ORDER_HERE = ["Definitions", "Witnesses", "Statements", "System", "Interleaved", "Uniform", "Play"]

JUDGES = {
    "mm-id": "mm_id_judge",
    "moments-flag": "(moments_flag_judge 62 64 (moments_flag_bound 64 22))",
    "owner-counter": "owner_counter_judge",
    "moments": "(moments_judge 64 (moments_bits 64 2))",
    "packed": "(packed_judge 64 24 (packed_bits 64 24 2))",
    "generations-safe": "(generations_safe_judge 64 2 24)",
    "estimated-sharers": "(first_page_judge estimated_sharers_verdict)",
    "likely-shared": "(first_page_judge (likely_shared_verdict 4))",
}
"""Each scheme as System.v and Interleaved.v have it; all of them beside a mapcount that ends (`bounded`)."""
MORE_JUDGES = {
    "bits": "(bits_judge 64 24)",
    "one-value": "(let t := one_value_bits 64 2 in one_value_judge 64 2 (t - t / 2) (t / 2))",
    "generations": "(posted_judge 2)",
}
"""Linear ones whose programs would show nothing that those of the others do not."""
EQUATION = "(equation_judge (Witness Moments 2 3 4 1 []))"
"""Words of 4 bits, where MMs 1 and 5 look alike."""


HEAD = """
From Rmaplab Require Import Definitions System Play Machines. Import ListNotations. Open Scope Z_scope.
"""


@dataclass
class Played:
    """A program in Rocq's words, and what the model shows after each of its operations. `ids`: of MM 1, 2, .."""

    program: list[str] = field(default_factory=list)
    shown: list[list[int]] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)


@dataclass
class Family:
    """Processes by MM, which are numbered as they come; all map one folio at `at`."""

    machine: ModelMachine
    rng: random.Random
    played: Played = field(default_factory=Played)
    members: dict[int, ModelProcess] = field(default_factory=dict)
    pins: list[tuple[int, int, Pin]] = field(default_factory=list)
    fresh: Iterator[int] = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        first = self.machine.spawn()
        self.at = first.mmap(PAGES * PAGE_SIZE, order=2)
        self.join(1, first)
        first.write(self.at, PAGES * PAGE_SIZE, 1)
        folio = first.folio(self.at)
        assert folio is not None
        self.folio, self.leaked = folio.ident, False
        self.did(f"Touches 1 0 0 {PAGES} 1")

    def join(self, mm: int, process: ModelProcess) -> None:
        self.members[mm] = process
        self.played.ids.append(process.mm)

    def maps(self, mm: int, page: int) -> bool:
        folio = self.members[mm].folio(self.at + page * PAGE_SIZE)
        return folio is not None and folio.ident == self.folio

    def runs(self, mm: int) -> Iterator[tuple[int, int]]:
        """(first page, pages) of each run of the folio's pages that it maps."""
        start = None
        for page in range(PAGES + 1):
            here = page < PAGES and self.maps(mm, page)
            if here and start is None:
                start = page
            if not here and start is not None:
                yield start, page - start
                start = None

    def did(self, *operations: str) -> None:
        """What it is called in Rocq, and what the folio is now; operations before the last have no look of their own."""
        self.played.program += operations
        self.played.shown += [[]] * (len(operations) - 1) + [self.look()]

    def look(self) -> list[int]:
        one = next(((m, p) for m in self.members for p in range(PAGES) if self.maps(m, p)), None)
        folio = self.members[one[0]].folio(self.at + one[1] * PAGE_SIZE) if one else None
        row = [folio.mapcount, folio.refs] if folio else [0, len(self.pins)]
        pages = []
        for mm in range(1, MOST * 3):
            for page in range(PAGES):
                here = mm in self.members and self.maps(mm, page)
                pages += [1, self.read(mm, page)] if here else [0, -1]
        return [*row, 0 if self.leaked else 1, *pages]

    def read(self, mm: int, page: int) -> int:
        try:
            return int(self.members[mm].read(self.at + page * PAGE_SIZE, PAGE_SIZE)[0])
        except ContentLeak:
            self.leaked = True
            return -2

    def step(self) -> None:
        """One operation at random of one process that maps something."""
        able = [m for m in self.members if any(self.maps(m, p) for p in range(PAGES))]
        if not able:
            return
        mm = self.rng.choice(able)
        page = self.rng.choice([p for p in range(PAGES) if self.maps(mm, p)])
        what = self.rng.choice(("fork", "fork", "write", "write", "write", "unmap", "pin", "unpin", "exit"))
        process, start = self.members[mm], self.at + page * PAGE_SIZE
        if what == "fork" and len(self.members) < MOST:
            child, runs = len(self.played.ids) + 1, list(self.runs(mm))
            if child < MOST * 3:
                self.join(child, process.fork())
                self.did(*(f"Forks {mm} {child} 0 {p} {k}" for p, k in runs))
        elif what == "write":
            value = self.rng.randrange(2, 256)
            process.write(start, PAGE_SIZE, value)
            self.did(f"Writes {mm} 0 {page} {value} {next(self.fresh)}")
        elif what == "unmap":
            pages = next(k - (page - p) for p, k in self.runs(mm) if p <= page < p + k)
            pages = self.rng.randint(1, pages)
            process.madvise(start, pages * PAGE_SIZE, "dontneed")
            self.did(f"Unmaps {mm} 0 {page} {pages}")
        elif what == "pin":
            self.pins.append((mm, page, process.pin(start, PAGE_SIZE)))
            self.did(f"Pins {mm} 0 {page}")
        elif what == "unpin" and self.pins:
            owner, pinned, pin = self.pins.pop()
            self.members[owner].unpin(pin)
            self.did(f"Unpins {owner} 0 {pinned}")
        elif what == "exit" and len(self.members) > 1:
            gone = [*(f"Unpins {m} 0 {p}" for m, p, _ in self.pins if m == mm)]
            gone += [f"Unmaps {mm} 0 {p} {k}" for p, k in self.runs(mm)]
            self.pins = [pin for pin in self.pins if pin[0] != mm]
            del self.members[mm]
            process.exit()
            self.did(*gone)


def played(scheme: str, seed: int) -> Played:
    """A random program until it ends, or leaks."""
    machine = ModelMachine(replace(kernels["series-2023"], scheme=SCHEMES[scheme]), recycle_ids=True)
    family = Family(machine, random.Random(f"{scheme} {seed}"))
    for _ in range(STEPS):
        if not family.leaked:
            family.step()
    return family.played


def script(how: str, judge: str, runs: list[Played]) -> str:
    mms, pages = rocq_list(range(1, MOST * 3)), rocq_list(range(PAGES))
    return (
        "From Rmaplab Require Import Definitions System Play Machines. Import ListNotations. Open Scope Z_scope.\n"
        + "".join(
            f"Eval vm_compute in ({how} {judge} {rocq_list([1, *p.ids])} {mms} {pages} {rocq_list(p.program)}).\n"
            for p in runs
        )
    )


def differs(folder: Path, how: str, judge: str, runs: list[Played]) -> str:
    """The first look that is not the model's, in words; "" if there is none."""
    for one, answer in zip(runs, evaluate(folder, script(how, judge, runs)), strict=True):
        assert isinstance(answer, list)
        assert len(answer) == len(one.shown)
        for number, (wanted, got) in enumerate(zip(one.shown, answer, strict=True)):
            leaked = wanted and wanted[2] == 0
            if wanted and (got[:3] != wanted[:3] if leaked else got != wanted):
                return f"{one.program[: number + 1]}: Rocq {got}, model {wanted}"
    return ""


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = build(tmp_path_factory.mktemp("machines"), ORDER_HERE)
    shutil.copy(Path(__file__).with_name("Machines.v"), folder)
    done = compile_theory(folder, "Machines")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def programs() -> dict[str, list[Played]]:
    return {scheme: [played(scheme, seed) for seed in range(PROGRAMS)] for scheme in JUDGES}


def leaks(runs: list[Played]) -> bool:
    return any(row[2] == 0 for one in runs for row in one.shown if row)


def test_only_the_guesses_leak_in_these_programs(programs: dict[str, list[Played]]) -> None:
    assert {scheme for scheme, runs in programs.items() if leaks(runs)} == {"estimated-sharers", "likely-shared"}


@pytest.mark.parametrize("how", ["move_by_move", "step_by_step"])
@pytest.mark.parametrize("scheme", JUDGES)
def test_rocqs_machine_equals_the_model(machines: Path, programs: dict[str, list[Played]], scheme: str, how: str) -> None:
    assert differs(machines, how, JUDGES[scheme], programs[scheme]) == ""


FAULTS = {
    "a pin is no reference": ("System", "number (on_folio f) (views w) + extra w f", "mapcount w f + extra w f"),
    "a write reaches all pages": ("System", "if (g =? f) && (q =? p) then x else c g q", "if g =? f then x else c g q"),
    "a pin is a mapping": ("Interleaved", "Mapped | Cleared => true", "Mapped | Cleared | Pinned => true"),
    "an update counts twice": ("Interleaved", "(Some (nr e)) (faults w)", "(Some (nr e + nr e)) (faults w)"),
}
"""What stands in a stated theory, and what stands there instead."""


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_in_the_machine_is_noticed(
    machines: Path, programs: dict[str, list[Played]], tmp_path: Path, name: str
) -> None:
    where, old, new = FAULTS[name]
    folder = shutil.copytree(machines, tmp_path / "machines")
    change(folder / f"{where}.v", old, new)
    for theory in [*ORDER_HERE[ORDER_HERE.index(where) :], "Machines"]:
        done = compile_theory(folder, theory)
        assert done.returncode == 0, done.stderr
    how = "move_by_move" if where == "System" else "step_by_step"
    assert any(differs(folder, how, JUDGES[scheme], programs[scheme]) for scheme in ("mm-id", "moments"))


@pytest.mark.skipif(not available(), reason=str(why_missing()))
@pytest.mark.parametrize("scheme", ["mm-id", "moments-flag", "moments", "packed", "generations-safe"])
def test_a_mapcount_that_ends_answers_as_the_core_does(machines: Path, scheme: str) -> None:
    """Below its last value, at it, one above, and ever after."""
    top = (1 << 23) - 2 if scheme == "packed" else (1 << 31) - 1
    asks, some = (5, 6, 7), 1 << 22 if scheme == "packed" else 1 << 30
    ups = [(5, top - some - 2), (5, some)]
    ends = {
        "below": [(6, 1), (6, -1), (5, 1), (6, 1), (6, -1)],
        "at": [(5, 2), (5, -1), (5, 1), (5, -some), (5, -(top - some))],
        "above": [(5, 2), (6, 1), (6, -1), (5, -some), (5, -(top - some)), (7, 1)],
    }
    said, terms = [], []
    for end in ends.values():
        core, rows = Folios(variants()[scheme], 9, 1, asks), []
        for mm, nr in (*ups, *end):
            core.apply(Op.MAP if nr > 0 else Op.UNMAP, 0, asks.index(mm), 0, abs(nr))
            rows.append([int(core.verdict(0, k)) for k in range(len(asks))])
        said.append(rows)
        events = rocq_list(f"Ev {mm} 0 ({nr}) false" for mm, nr in (*ups, *end))
        judge = re.sub(r"\b2\b(?=\)| 24\))", "9", JUDGES[scheme])  # of order 9
        terms.append(f"Eval vm_compute in (told_by (Interleaved.bounded {top} {judge}) {events} {rocq_list(asks)}).\n")
    assert evaluate(machines, HEAD + "".join(terms)) == said


@pytest.mark.parametrize("scheme", [*JUDGES, *MORE_JUDGES])
def test_a_judge_answers_as_its_scheme(machines: Path, scheme: str) -> None:
    rng, asks = random.Random(scheme), [1, 2, 7]
    sequences = [random_sequence(2, asks, rng) for _ in range(10)]
    wanted = [[row[-len(asks) :] for row in replay(SCHEMES[scheme], 2, es, asks)] for es in sequences]
    assert {1, 2} <= {answer for rows in wanted for row in rows for answer in row}
    judge = (JUDGES | MORE_JUDGES)[scheme]
    terms = (f"Eval vm_compute in (told_by {judge} {rocq_list(es)} {rocq_list(asks)}).\n" for es in sequences)
    assert evaluate(machines, HEAD + "".join(terms)) == wanted


def test_an_equation_judges_up_to_the_number_of_pages(machines: Path) -> None:
    """EXCLUSIVE iff at most four mappings, and the sum of (id - x)^2 is a multiple of 16."""
    rng, asks = random.Random("equation"), [1, 2, 5]
    said, terms = [], []
    for _ in range(20):
        events, mapped, rows = random_sequence(2, asks, rng), Counter[int](), []
        for e in events:
            mapped[e.mm] += e.nr
            few = mapped.total() <= PAGES
            rows.append([1 if few and sum(n * (mm - x) ** 2 for mm, n in mapped.items()) % 16 == 0 else 2 for x in asks])
        said.append(rows)
        terms.append(f"Eval vm_compute in (told_by {EQUATION} {rocq_list(events)} {rocq_list(asks)}).\n")
    assert evaluate(machines, HEAD + "".join(terms)) == said


def test_page_weights_equal_their_rocq_definition(machines: Path) -> None:
    """All counts 0 .. 2 of four pages, in words so short that some pass which are not uniform."""
    scheme = Uniform(word_bits=4)
    sums = [int(w) for w in scheme.prefix(2)]
    weights = [(b - a) % 16 for a, b in pairwise(sums)]
    folios = list(product(range(3), repeat=4))
    words = [sum(w * c for w, c in zip(weights, counts, strict=True)) % 16 for counts in folios]
    wanted = [[w, sum(c), int(scheme.passes(2, w, sum(c)))] for w, c in zip(words, folios, strict=True)]
    assert any(passes for (_, _, passes), c in zip(wanted, folios, strict=True) if len(set(c)) > 1)
    term = f"map (weighed_up 16 {rocq_list(weights)}) {rocq_list(map(rocq_list, folios))}"
    assert evaluate(machines, HEAD + f"Eval vm_compute in ({term}).\n") == [wanted]
