"""Options: a number that makes no sense is one line and exit 2, and none is ignored in silence."""

import functools
import sys
import typing
from dataclasses import dataclass, fields
from typing import Any, Final

import pytest
import typer.main

from commands import rmaplab
from rmaplab.cli.app import COMMANDS, main
from rmaplab.cli.build import build
from rmaplab.machine.choose import open_machine
from rmaplab.recorded import recorded
from rmaplab.scenarios import CHOICES, SCENARIOS, Parameters

HUGE: Final = str(10**30)
VALUES: Final = ("nan", "inf", "-inf", "-1", "0", HUGE, "1_0", "\u0661", "", "1e400")
ACCEPTED: Final = {
    ("capacity", "order", "0"): "a page is a folio of order 0",
    ("run", "order", "0"): "small folios",
    ("run", "seed", "0"): "a seed",
    ("run", "survivor", "0"): "the first process",
    ("run", "survivor", "-1"): "the last process",
    ("differential", "seed", "0"): "a seed",
    ("kernel test", "seed", "0"): "a seed",
    ("stress", "seconds", "0"): "one race of each kind",
    ("watch", "budget", "0"): "no budget: everything is looked at",
    ("stress", "readers", "0"): "nobody who only asks",
    ("refute", "seconds", "0"): "only what theorems decide",
    ("bench", "order", "0"): "a page is a folio of order 0",
}


def commands() -> dict[str, Any]:
    """Every command by its words, as typer made it."""
    found: dict[str, Any] = {}
    for name in COMMANDS:
        made = typer.main.get_command(build(name)).commands[name]  # type: ignore[attr-defined]
        inner = getattr(made, "commands", None)
        found |= {name: made} if inner is None else {f"{name} {word}": one for word, one in inner.items()}
    return found


def is_number(hint: Any) -> bool:
    return hint in (int, float) or any(is_number(one) for one in typing.get_args(hint))


def numbers() -> list[tuple[str, str]]:
    """(command, parameter) of everything that is a number."""
    return [
        (name, parameter)
        for name, command in commands().items()
        for parameter, hint in typing.get_type_hints(command.callback).items()
        if is_number(hint)
    ]


@functools.cache
def numeric(name: str, parameter: str) -> Any:
    return next(one for one in commands()[name].params if one.name == parameter)


def line_for(name: str, parameter: str, value: str) -> list[str]:
    """A command line that gives `value` to the parameter, and something to every other argument that must be."""
    one = numeric(name, parameter)
    needed = ["x" for p in commands()[name].params if p.param_type_name == "argument" and p.required and p is not one]
    if one.param_type_name == "argument":
        return [*name.split(), *needed, "--", value]
    word = max(one.opts, key=len)
    return [*name.split(), *needed, *([f"{word}={value}"] if word.startswith("--") else [word, value])]


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["rmaplab", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_every_number_has_a_rule_of_ours() -> None:
    assert len(numbers()) > 20
    assert [one for one in numbers() if type(numeric(*one).type).__name__ != "FuncParamType"] == []


@pytest.mark.parametrize(("name", "parameter"), numbers())
def test_a_number_that_makes_no_sense_is_one_line_and_exit_2(
    name: str, parameter: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for value in VALUES:
        words = line_for(name, parameter, value)
        if (name, parameter, value) in ACCEPTED:
            commands()[name].make_context(name, words[len(name.split()) :])
            continue
        assert call(monkeypatch, *words) == 2, words
        said = capsys.readouterr()
        assert said.out == ""
        (line,) = said.err.splitlines()
        assert value[:40] in line
        assert "must be" in line


TRACE: Final = str(recorded("prefork"))
IGNORED: Final = [
    *(
        (("run", "--on", "trace", TRACE, option, value), option)
        for option, value in (
            ("--size", "4M"), ("--order", "4"), ("--k", "3"), ("--survivor", "0"), ("--mapping", "pte"), ("--seed", "1"),
        )
    ),
    (("run", "fork-exit-write", "--on", "model", "--k", "3"), "--k"),
    (("run", "prefork", "--on", "model", "--seed", "3"), "--seed"),
    (("run", "snapshot", "--on", "model", "--survivor", "1"), "--survivor"),
    (("run", "file-shared", "--on", "model", "--mapping", "pmd"), "--mapping"),
    (("refute", "--needs", "moments"), "SCHEME"),
    (("refute", "--needs", "--values", "3"), "--values"),
    (("refute", "--needs", "--density"), "--density"),
    (("refute", "--needs", "--word-bits", "32"), "--word-bits"),
    (("refute", "--density", "--seconds", "3"), "--seconds"),
    (("refute", "--density", "--rocq"), "--rocq"),
    (("refute", "--posted", "--order", "3"), "--order"),
    (("refute", "--posted", "--id-bits", "3"), "--id-bits"),
    (("refute", "moments", "--posted"), "--posted"),
    (("refute", "moments", "--json", "--rocq"), "--rocq"),
    (("refute", "moments", "--subids", "builtins:abs"), "SCHEME"),
    (("refute", "--subids", "builtins:abs", "--values", "2"), "--values"),
    (("inspect", "1", "--addresses"), "--addresses"),
    (("inspect", "1", "--addresses", "--json"), "--addresses"),
    (("inspect", "1", "--addresses", "--by", "vma"), "--addresses"),
    (("inspect", "--family"), "--family"),
    (("inspect", "1", "--by", "worker"), "--by worker"),
    (("inspect", "1", "--mapping", "x", "--by", "order"), "--mapping"),
    (("inspect", "1", "--mapping", "x", "--html", "y"), "--mapping"),
    (("inspect", "1", "--mapping", "x", "--what-if", "write"), "--mapping"),
    (("inspect", "1", "--columns", ","), "--columns"),
    (("inspect", "1", "--sort", ""), "--sort"),
    (("inspect", "--cgroup", ""), "cgroup ''"),
    (("inspect", "1", "--parquet", "."), ".: exists and is not a trace"),
    (("watch", "--every", "1", "--", "true"), "--every"),
    (("inspect", "--name", "["), "--name"),
    (("inspect", "--mapping", "(?P<a"), "--mapping"),
    (("bench", "streams", "--order", "3"), "--order"),
    (("kernel", "test", "--only", "cow", "--seed", "3"), "--seed"),
    (("kernel", "test", "--only", "cow", "-n", "3"), "-n"),
    (("kernel", "test", "--only", "differential", "--mms", "3"), "--mms"),
    (("kernel", "test", "--only", "differential", "--orders", "3"), "--orders"),
    (("kernel", "build", "--kernel", "7.3,debug"), "--kernel"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "named"), IGNORED)
def test_what_a_mode_would_ignore_is_refused_by_name(
    words: tuple[str, ...], named: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, *words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert named.lower() in line.lower()


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_says_what_it_reads(name: str) -> None:
    """`reads` decides what is refused: it must be what the program looks at."""
    seen: set[str] = set()

    @dataclass(frozen=True)
    class Watched(Parameters):
        def __getattribute__(self, attribute: str) -> Any:
            seen.add(attribute)
            return super().__getattribute__(attribute)

    with open_machine("model", "linux-6.18") as machine:
        SCENARIOS[name].program(machine, Watched(size=2 << 20))
    assert seen & CHOICES == SCENARIOS[name].reads
    assert {field.name for field in fields(Parameters)} >= CHOICES


@pytest.mark.live
@pytest.mark.xdist_group("live")
@pytest.mark.usefixtures("frames")
def test_the_names_of_columns_are_checked_where_there_is_no_row() -> None:
    nobody = ("inspect", "--name", "nobody has (such) a name")
    done = rmaplab(*nobody, "--columns", "nosuch")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--columns nosuch: must be one of" in done.stderr
    assert rmaplab(*nobody, "--columns", "pid").returncode == 0
