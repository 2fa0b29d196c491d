"""Litmus tests: what is said of the well-known shapes is what herd7 says of them.

The tables beside this file were made by herd7 7.58 (Debian's herdtools7) from the very texts of shapes.py: with
linux-kernel.cfg of Debian's linux-source-6.12, and, with the primitives written as C11's, with its own rc11.cat; those of
machines from the assembly of machine_shapes.py, with x86tso.cat, aarch64.cat, riscv.cat, ppc.cat and sc.cat.
"""

import json
import shutil
from pathlib import Path

import pytest

from rmaplab.verify.race.export import can_be_exported, exported
from rmaplab.verify.race.litmus import judge, main, parse
from rmaplab.verify.race.machine_shapes import MACHINES, machine_shapes
from rmaplab.verify.race.programs import load
from rmaplab.verify.race.shapes import shapes

HERE = Path(__file__).parent
pytestmark = pytest.mark.skipif(not (shutil.which("gcc") or shutil.which("cc")), reason="needs a C compiler")


@pytest.mark.parametrize("model", ["lkmm", "c11"])
def test_shapes_have_the_verdicts_of_herd7(model: str) -> None:
    expected = json.loads((HERE / f"{model}_shapes.json").read_text())
    observed = {shape.name: judge(parse(shape.text), model).observed for shape in shapes()}
    assert len(observed) >= 200
    assert observed == expected


@pytest.mark.parametrize("model", MACHINES)
def test_shapes_in_a_machines_words_have_the_verdicts_of_herd7(model: str) -> None:
    table = json.loads((HERE / "machine_shapes.json").read_text())[model]
    allowed = {shape.name: shape.allowed() for shape in machine_shapes(MACHINES[model])}
    assert len(allowed) == table["shapes"] >= 200
    assert {name for name, can in allowed.items() if can} == set(table["allowed"])


def test_shapes_with_plain_accesses_have_the_verdicts_and_data_races_of_herd7() -> None:
    """Known not to be found: values that plain accesses make out of thin air, each thread from the
    other's; of LB+data+data herd7 does not find them either.
    """
    expected = {name: tuple(row) for name, row in json.loads((HERE / "lkmm_plain_shapes.json").read_text()).items()}
    found = {shape.name: judge(parse(shape.text)) for shape in shapes(plain=True)}
    differ = {name for name, v in found.items() if (v.observed, v.raced) != expected[name]}
    assert len(found) == len(expected) >= 200
    cyclic = {name for name in expected if name.startswith(("LB+data+", "LB+ctrl+"))}
    assert differ == cyclic - {"LB+data+data"}
    assert {raced for _, raced in expected.values()} == {True, False}


def test_file_that_contradicts_its_result_line_is_reported(tmp_path: Path) -> None:
    shape = next(shapes())
    path = tmp_path / "SB.litmus"
    path.write_text(shape.text.replace("{}", "(* Result: Never *)\n{}", 1))
    assert main([str(path)]) == 1
    path.write_text(shape.text.replace("{}", "(* Result: Sometimes *)\n{}", 1))
    assert main([str(path)]) == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("X86 SB\n{}", "only C litmus tests"),
        ("C a\n{}\nP0(int *x)\n{ WRITE_ONCE(*x, 1);", "brace is not closed"),
        ("C a\n{}\nP0(int *x)\n{ frob(x); }\nexists (x=1)", "no primitive"),
        ("C a\n{}\nP0(int *x)\n{ WRITE_ONCE(*x, 1); }", "has no exists"),
        ("C a\n{}\nP0(int *x)\n{ WRITE_ONCE(*x, 1); }\nexists (y=1)", "no such location"),
    ],
)
def test_bad_litmus_text_is_one_clear_error(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        judge(parse(text))


@pytest.mark.parametrize("stage", ["add-return", "posted cmpxchg", "mm-id", "moments-flag", "small, hashed"])
def test_exported_program_read_back_as_a_litmus_file_has_the_enumerators_verdict(stage: str) -> None:
    """Two ways from C to a verdict: recorded headers, and the text that says the same in Linux' words."""
    programs = load()
    names = ("writer-reader", "drop-cow", "turn-ask", "map-map")
    results = []
    for program in programs.all():
        if program.stage == stage and program.name in names:
            for file in exported(programs, program):
                assert judge(parse(file.text)).observed == file.result.lower(), file.text
                results.append(file.result)
    assert {"Never", "Sometimes"} <= set(results)


def test_programs_with_16_byte_accesses_are_not_exported() -> None:
    programs = load()
    assert {p.stage for p in programs.all() if not can_be_exported(programs, p)} == {"packed"}
