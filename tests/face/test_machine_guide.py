"""docs/machine.md: its code runs, and prints what stands behind it."""

import ast
import contextlib
import io
import re
from pathlib import Path

import pytest

import rmaplab
from rmaplab import Step
from rmaplab.errors import RmaplabError
from rmaplab.machine.model import ModelMachine

PAGE = Path(__file__).parents[2] / "docs/machine.md"
CODE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
PROGRAM = [
    Step("spawn", makes=1),
    Step("mmap", process=1, makes=2, pages=16, order=4),
    Step("write", process=1, area=2, pages=16, value=7),
    Step("fork", process=1, makes=3),
    Step("exit", process=3),
    Step("write", process=1, area=2, pages=16, value=8),
]


def promised(statement: ast.stmt, lines: list[str]) -> str | None:
    """The comment behind a statement, or alone on the line after it."""
    last = lines[(statement.end_lineno or 0) - 1]
    behind = re.search(r"\)  # (.*)$", last)
    after = lines[statement.end_lineno or 0 :][:1]
    if behind:
        return behind[1]
    return after[0][2:] if after and after[0].startswith("# ") else None


def test_every_line_of_the_guide_prints_what_it_says() -> None:
    names: dict[str, object] = {}
    kept = 0
    for block in CODE.findall(PAGE.read_text()):
        lines = block.splitlines()
        for statement in ast.parse(block).body:
            said = io.StringIO()
            with contextlib.redirect_stdout(said):
                exec(compile(ast.Module([statement], []), str(PAGE), "exec"), names)
            want = promised(statement, lines)
            if want is not None and said.getvalue():
                assert said.getvalue().strip() == want
                kept += 1
    assert kept >= 12


def test_kernels_part_at_the_step_at_which_the_first_world_differs() -> None:
    answer = rmaplab.compare(PROGRAM, ["linux-6.18", "linux-6.12"])
    assert answer.parts_at == 5
    assert answer.to_dict()["steps"][-1]["answer"] == "(0, 16)"
    assert "linux-6.12" in repr(answer)
    assert rmaplab.compare(PROGRAM, ["linux-6.18", "linux-7.x"]).parts_at is None


def test_a_step_on_what_only_some_kernels_have_is_refused_by_the_others() -> None:
    """linux-6.12 refuses to move two VMAs at once, so there is nothing there to write to."""
    several = (
        Step("spawn", makes=1),
        Step("mmap", process=1, pages=4, makes=2),
        Step("write", process=1, area=2, pages=4, value=1),
        Step("mprotect", process=1, area=2, pages=2),
        Step("mremap", process=1, area=2, pages=4, new_pages=4, move=True, makes=3),
        Step("read", process=1, area=3, pages=4),
    )
    answer = rmaplab.compare(several, ["linux-6.18", "linux-6.12"])
    assert answer.parts_at == 4
    answers = [row["answer"] for row in answer.to_dict()["steps"] if row["step"] == 5]
    assert answers[0] != "refused"
    assert answers[1:] == ["refused"]


def test_a_program_of_steps_takes_no_parameters_and_needs_kernels() -> None:
    with pytest.raises(RmaplabError, match="size"):
        rmaplab.compare(PROGRAM, ["linux-6.18"], size=3)  # type: ignore[call-overload]
    with pytest.raises(RmaplabError, match="kernels"):
        rmaplab.compare(PROGRAM, [])


def test_file_vma_and_folio_say_what_they_are() -> None:
    with ModelMachine() as machine:
        process, file = machine.spawn(), machine.file(16 << 12)
        address = process.mmap(16 << 12, file=file, shared=True)
        assert repr(file) == "<ModelFile shmem, 16 pages: 0 cached, 0 in swap>"
        assert process.folio(address) is None
        process.write(address, 4096)
        assert repr(process.vmas[0]).endswith("rw-s, <ModelFile shmem, 16 pages: 1 cached, 0 in swap> from page 0>")
        folio = process.folio(address)
        assert folio is not None
        assert (folio.kind, folio.order, folio.refs, folio.mapped) == ("shmem", 0, 2, (1,))
        assert process.folio(address + (1 << 30)) is None
