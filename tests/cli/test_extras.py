"""A plain install says in one line what to add; names that are nearly right are answered with the right one."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from commands import rmaplab
from rmaplab.cli.app import COMMANDS
from rmaplab.names import did_you_mean
from rmaplab.scenarios import SCENARIOS
from rmaplab.schemes import SCHEMES


@pytest.mark.parametrize(
    ("module", "words", "extra"),
    [
        ("altair", ("bench", "--plot", "plot.svg"), "plot"),
        ("vl_convert", ("bench", "--plot", "plot.svg"), "plot"),
        ("z3", ("refute", "generations", "--order", "7"), "refute"),
        ("flint", ("refute", "--density"), "refute"),
    ],
)
def test_without_an_extra_one_line_says_what_to_install(
    module: str, words: tuple[str, ...], extra: str, tmp_path: Path
) -> None:
    hidden = f"import sys, importlib.util; sys.modules[{module!r}] = None"
    hidden += "\nfind = importlib.util.find_spec"
    hidden += f"\nimportlib.util.find_spec = lambda name, *more: None if name == {module!r} else find(name, *more)"
    done = rmaplab(*words, before=hidden, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    (line,) = done.stderr.splitlines()
    assert f"pip install 'rmaplab[{extra}]'" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("module", ["altair", "vl_convert", "z3", "flint", "psutil"])
@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "refute"])
def test_every_other_command_loads_without_the_extras(module: str, name: str) -> None:
    done = rmaplab(name, "--help", before=f"import sys; sys.modules[{module!r}] = None")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "wrong", "said"),
    [
        ("shcemes", "shcemes", "Did you mean 'schemes'"),
        ("kernel bot", "bot", "Did you mean 'boot'"),
        ("run prefrok", "prefrok", "did you mean prefork?"),
        ("run PREFORK --on model", "PREFORK", "did you mean prefork?"),
        ("run prefork --on model --kernel linux-6.81", "linux-6.81", "did you mean linux-6.1?"),
        ("run prefork --on model --kernel precise:momets", "precise:momets", "did you mean moments?"),
        ("run prefork --on lab --kernel 7.33", "7.33", "did you mean 7.3?"),
        ("capacity --scheme mm_id", "mm_id", "did you mean mm-id?"),
        ("capacity --shceme mm-id", "--shceme", "--scheme"),
        ("bench --scheme pakced", "pakced", "did you mean packed?"),
        ("stress --scheme moments-flg", "moments-flg", "did you mean moments-flag?"),
        ("refute momens", "momens", "did you mean moments?"),
        ("race two-riters", "two-riters", "did you mean two-writers?"),
    ],
)
def test_a_name_that_is_nearly_right_is_answered_with_the_right_one(words: str, wrong: str, said: str) -> None:
    done = rmaplab(*words.split())
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert wrong in line
    assert said in line


@pytest.mark.parametrize("known", [SCHEMES, SCENARIOS, COMMANDS], ids=["schemes", "scenarios", "commands"])
def test_one_slip_of_the_pen_is_understood(known: dict[str, object]) -> None:
    for name in known:
        for slip in (name[:-1], name[1:], name[1] + name[0] + name[2:], name.upper(), f"{name}s"):
            meant = did_you_mean(slip, known)
            assert meant, slip
            if slip.lower() not in (one.lower() for one in known):
                assert meant.startswith("; did you mean ")
    assert did_you_mean("xyzzy", known) == ""


def python_m(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "rmaplab", *words], capture_output=True, text=True, check=True)


def test_the_package_runs_as_a_module_and_h_is_help() -> None:
    for words in ((), ("run",), ("kernel", "boot")):
        said = [python_m(*words, how).stdout for how in ("-h", "--help")]
        assert said[0] == said[1]
        assert "Usage" in said[0]


def test_the_manual_page_names_every_command_and_option_of_the_help() -> None:
    page = rmaplab("--man", check=True).stdout.replace("\\-", "-").replace("\\&", "")
    assert all(f"rmaplab {name}" in page for name in COMMANDS)
    for words in (("run",), ("inspect",), ("kernel", "boot")):
        said = rmaplab(*words, "--help", check=True, env={"COLUMNS": "200"}).stdout
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", said):
            assert option in page or option == "--help", option


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [("rmaplab capa", "capacity"), ("rmaplab run --surv", "--survivor"), ("rmaplab kernel bo", "boot")],
)
def test_a_shell_completes_commands_and_options(typed: str, wanted: str) -> None:
    words = {
        **os.environ,
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split()) - 1),
        "_RMAPLAB_COMPLETE": "complete_bash",
    }
    assert wanted in rmaplab(env=words).stdout.split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_comes_for_the_usual_shells(shell: str) -> None:
    named = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    said = rmaplab("--show-completion", shell, check=True, env=named).stdout
    assert f"_RMAPLAB_COMPLETE=complete_{shell}" in said
