"""The hunt: programs that reach what none before did, kept, shortened, and found again in their file."""

import random
from pathlib import Path

import pytest

from rmaplab.machine.differential import corpus
from rmaplab.machine.differential.change import MOST_STEPS, Changer
from rmaplab.machine.differential.generate import Generator
from rmaplab.machine.differential.hunt import ORDERS, Hunt, main, reached_by
from rmaplab.machine.differential.program import Program, Step
from rmaplab.machine.protocol import BadOperation

KERNEL = "linux-6.18"
WRITTEN: Program = (Step("spawn", makes=1), Step("mmap", 1, makes=2, pages=4), Step("write", 1, 2, 0, 4, value=7))


def programs(count: int) -> list[Program]:
    return [Generator(seed, ORDERS, 20).program() for seed in range(count)]


def test_programs_come_back_from_their_file_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "corpus"
    corpus.write(path, programs(8))
    assert corpus.read(path) == programs(8)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("{", "no JSON"),
        ("7", "list of steps"),
        ('[{"do": "dance"}]', "known `do`"),
        ("[3]", "known `do`"),
        ('[{"do": "spawn", "makes": "1"}]', "makes '1'"),
        ('[{"do": "spawn", "colour": 1}]', "colour 1"),
        ('[{"do": "mmap", "shared": 1}]', "shared 1"),
    ],
)
def test_a_line_that_is_no_program_is_named_with_its_rule(tmp_path: Path, text: str, rule: str) -> None:
    path = tmp_path / "corpus"
    path.write_text(f"[]\n{text}\n")
    with pytest.raises(BadOperation, match="line 2") as refused:
        corpus.read(path)
    assert rule in str(refused.value)


def test_what_a_program_reaches_grows_with_its_steps() -> None:
    some, more = (reached_by(WRITTEN[:length], KERNEL) for length in (2, 3))
    assert some < more
    assert "effects: write" in more - some


def test_a_step_without_effect_is_no_effect() -> None:
    found = reached_by((*WRITTEN, Step("write", 1, 2, 0, 4, value=7)), KERNEL)
    assert "pairs: write, write" not in found
    assert "pairs: nothing, mmap" not in found


def test_a_hunt_keeps_only_what_is_new_and_as_short_as_it_found() -> None:
    hunt = Hunt(KERNEL, random.Random(3))
    assert hunt.consider(WRITTEN) is not None
    assert hunt.consider(WRITTEN) is None
    longer = (*WRITTEN, Step("read", 1, 2, 0, 4), Step("read", 1, 2, 0, 4), Step("exit", 1))
    kept = hunt.consider(longer)
    assert kept is not None
    assert kept[-1].do == "exit"
    assert hunt.needed() == sorted(hunt.kept, key=lambda program: -len(hunt.kept[program]))[: len(hunt.needed())]


def test_changed_programs_run_whatever_was_changed() -> None:
    lots, others = random.Random(1), programs(6)
    changer = Changer(lots)
    for _ in range(12):
        program = lots.choice(others)
        for _ in range(6):
            program = changer.change(program, others)
        assert len(program) <= MOST_STEPS
        reached_by(program, KERNEL)


def test_the_command_makes_a_corpus_and_lets_it_grow(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "corpus"
    for seed in ("1", "2"):
        assert main(["--corpus", str(path), "--seconds", "1", "--seed", seed]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert int(first.split()[3]) <= int(second.split()[3])
    assert corpus.read(path)
