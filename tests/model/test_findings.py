"""The programs in findings/ build, run, and say of this kernel what the table in findings/README.md says."""

import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernel import lacking
from rmaplab.machine.live.workers.turn import Turn

FINDINGS = Path(__file__).parents[2] / "findings"
PROGRAMS = sorted(path.stem for path in FINDINGS.glob("*.c"))
EXIT_CODES = {0, 1, 4}


def table() -> tuple[list[str], dict[str, list[str]]]:
    """Kernels, and the row of each program; arguments that it needs stand behind its name."""
    lines = [line for line in (FINDINGS / "README.md").read_text().splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return cells[0][1:-1], {row[0].strip("`").split()[0]: row[1:-1] for row in cells[1:]}


def test_every_program_has_its_row_and_its_report() -> None:
    kernels, rows = table()
    assert sorted(rows) == PROGRAMS
    for program, row in rows.items():
        assert len(row) == len(kernels)
        assert {int(cell) for cell in row if cell != "-"} <= EXIT_CODES
        assert re.search(rf"^## .*: `{program}`$", (FINDINGS / "README.md").read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which("gcc"):
        pytest.skip("no gcc")
    copy = tmp_path_factory.mktemp("findings")
    for source in FINDINGS.glob("*.[ch]"):
        shutil.copy(source, copy)
    shutil.copy(FINDINGS / "Makefile", copy)
    subprocess.run(["make", "-s", "-C", copy, "all"], check=True)
    return copy / "out"


@pytest.fixture
def alone() -> Iterator[None]:
    """KSM is one for the whole system: live machines that use it wait."""
    turn = Turn()
    turn.alone()
    yield
    turn.end()


@pytest.mark.live
@pytest.mark.xdist_group("differential")
@pytest.mark.skipif(bool(lacking()), reason=lacking())
@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("program", PROGRAMS)
def test_this_kernel_does_what_the_table_says(built: Path, program: str) -> None:
    done = subprocess.run([built / program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode in EXIT_CODES, done.stdout
    assert ("not ok" in done.stdout) == (done.returncode == 1)
    kernels, rows = table()
    release = platform.release()
    cells = zip(kernels, rows[program], strict=True)
    said = next((code for kernel, code in cells if re.match(rf"{re.escape(kernel)}(?!\d)", release)), "-")
    if said == "-":
        pytest.skip(f"{release} is not in the table")
    if done.returncode == 4:
        pytest.skip(done.stdout)
    assert str(done.returncode) == said, done.stdout
