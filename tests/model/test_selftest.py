"""A program printed as C does on this kernel what the model says, and finds out a model of another kernel."""

import shutil
import subprocess
from pathlib import Path

import pytest

from kernel import lacking
from rmaplab.machine.differential.generate import Generator
from rmaplab.machine.differential.program import Program, Step
from rmaplab.machine.differential.selftest import Unprintable, program_in_c

needs_compiler = pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc")
can_look = pytest.mark.skipif(bool(lacking()), reason=lacking())

LEFT_ALONE: Program = (
    Step("spawn", makes=1),
    Step("mmap", process=1, pages=512, makes=2, order=9),
    Step("write", process=1, area=2, pages=512, value=7),
    Step("fork", process=1, makes=3),
    Step("mprotect", process=1, area=2, pages=1),
    Step("exit", process=3),
    Step("write", process=1, area=2, page=1, pages=511, value=9),
)
OVER: Program = (
    Step("spawn", makes=1),
    Step("mmap", process=1, pages=1024, makes=2, order=9),
    Step("write", process=1, area=2, pages=1024, value=7),
    Step("madvise", process=1, area=2, page=600, pages=1, advice="dontneed"),
    Step("mmap", process=1, area=2, pages=512, makes=4, at=512),
    Step("mmap", process=1, area=2, pages=4, makes=5, at=8, shared=True),
    Step("write", process=1, area=5, pages=4, value=8),
    Step("write", process=1, area=4, pages=512, value=9),
)
TRACKED: Program = (
    Step("spawn", makes=1),
    Step("mmap", process=1, pages=1024, makes=2, order=9),
    Step("write", process=1, area=2, pages=512, value=7),
    Step("uffd_wp", process=1, area=2, pages=1024),
    Step("fork", process=1, makes=3),
    Step("write", process=1, area=2, page=3, pages=2, value=9),
    Step("uffd_wp", process=1, area=2, page=100, pages=50, protected=False),
    Step("uffd_wp", process=3, area=2, page=7, pages=1),
    Step("write", process=1, area=2, page=511, pages=2, value=9),
)


def built(text: str, at: Path) -> Path:
    source, program = at / "world.c", at / "world"
    source.write_text(text)
    subprocess.run(["gcc", "-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-o", program, source], check=True)
    return program


def ended(text: str, at: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([built(text, at)], capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.live
@pytest.mark.xdist_group("differential")
@can_look
@needs_compiler
@pytest.mark.parametrize(("kernel", "code"), [("linux-6.18", 0), ("linux-6.12", 1)])
def test_the_exit_code_says_whether_this_kernel_is_meant(tmp_path: Path, kernel: str, code: int) -> None:
    done = ended(program_in_c(LEFT_ALONE, kernel, "why"), tmp_path)
    assert done.returncode == code, done.stdout
    assert ("not ok: 0 pages were copied, not 511" in done.stdout) == bool(code)


@pytest.mark.live
@pytest.mark.xdist_group("differential")
@can_look
@needs_compiler
@pytest.mark.parametrize("program", [OVER, TRACKED])
def test_memory_over_other_memory_and_tracked_writes_have_their_c(tmp_path: Path, program: Program) -> None:
    done = ended(program_in_c(program, "linux-6.18", "why"), tmp_path)
    assert done.returncode == 0, done.stdout


@pytest.mark.live
@pytest.mark.xdist_group("differential")
@can_look
@needs_compiler
@pytest.mark.parametrize("seed", range(6))
def test_random_programs_agree_in_c(tmp_path: Path, seed: int) -> None:
    without = dict.fromkeys(("ksm", "swap", "sharing", "disk"), False)
    done = ended(first_printable(seed * 1000, without), tmp_path)
    assert done.returncode == 0, done.stdout


def first_printable(seed: int, without: dict[str, bool]) -> str:
    """The first program from `seed` on that C can say: some do what no selftest does."""
    while True:
        program = Generator(seed, (2, 4, 9), 25, **without).program()
        try:
            return program_in_c(program, "linux-6.18", "why")
        except Unprintable:
            seed += 1


@pytest.mark.parametrize(
    ("step", "needs"),
    [
        (Step("swap", pages=512), "a swap device"),
        (Step("merge"), "the KSM scanner"),
        (Step("vfork", process=1, makes=9), "the address space of another"),
        (Step("file", pages=4, makes=9, kind="file"), "files of a disk file system"),
    ],
)
def test_what_has_no_c_program_is_named(step: Step, needs: str) -> None:
    with pytest.raises(Unprintable, match=needs):
        program_in_c((*LEFT_ALONE, step), "linux-6.18", "why")


def test_the_reason_cannot_end_the_comment_it_stands_in() -> None:
    text = program_in_c(LEFT_ALONE[:1], "linux-6.18", "a */ int x; /* b")
    assert "a * / int x;" in text
