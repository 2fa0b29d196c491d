"""`import rmaplab`: light, typed, and the same answers as the command line."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import rmaplab
from commands import rmaplab as command
from rmaplab.errors import RmaplabError
from rmaplab.recorded import recorded
from rmaplab.scenarios import SCENARIOS
from rmaplab.schemes import SCHEMES

ROOT = Path(__file__).parents[2]
CODE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def python(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


def test_importing_it_loads_nothing_but_the_standard_library() -> None:
    ours = python("import sys, rmaplab; print(*(m for m in sys.modules if m.startswith('rmaplab')))")
    assert ours.split() == ["rmaplab"]
    heavy = python("import sys, rmaplab; print({'numpy', 'polars', 'altair', 'rich', 'asyncio'} & set(sys.modules))")
    assert heavy.strip() == "set()"


def test_every_promised_name_is_there_and_listed() -> None:
    assert all(getattr(rmaplab, name) is not None for name in rmaplab.__all__)
    assert set(rmaplab.__all__) <= set(dir(rmaplab))
    with pytest.raises(AttributeError, match="nonsense"):
        rmaplab.nonsense  # noqa: B018


@pytest.mark.parametrize(
    "first", ["import rmaplab", "import rmaplab.judge.results", "from rmaplab.judge import Tally", "import rmaplab.face"]
)
def test_a_package_can_be_called_whoever_imports_it_first(first: str) -> None:
    trace = str(recorded("prefork"))
    program = (
        f"{first}\nimport rmaplab\nprint(rmaplab.judge({trace!r}, ['mm-id']).to_polars().height)\n"
        "import rmaplab.judge.results\nfrom rmaplab.judge import Tally\n"
        "print(Tally is rmaplab.judge.results.Tally, callable(rmaplab.inspect), len(rmaplab.scenarios) > 9)"
    )
    assert python(program).split() == ["1", "True", "True", "True"]


def test_the_documentation_s_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    blocks = CODE.findall((ROOT / "docs/python.md").read_text())
    assert len(blocks) > 7
    for block in blocks:
        if "inspect(" not in block or os.geteuid() == 0:
            exec(compile(block, "docs/python.md", "exec"), names)


def test_judging_says_what_the_command_says() -> None:
    said = command("run", "--on", "trace", str(recorded("prefork")), "--json", check=True).stdout
    assert json.loads(said) == json.loads(json.dumps(rmaplab.judge(recorded("prefork")).to_dict()))


def test_a_run_shows_every_scheme_as_text_html_rows_and_bars() -> None:
    run = rmaplab.judge(recorded("prefork"))
    rows = run.to_polars()
    for shown in (repr(run), run._repr_html_(), run.plot().to_json()):
        assert all(name in shown for name in SCHEMES)
    by_scheme = {name: sum(rows.filter(rows["scheme"] == name)["false_shared"]) for name in SCHEMES}
    assert by_scheme == {name: one.total.false_shared for name, one in run.judgement.schemes.items()}


def test_names_from_outside_are_no_markup_in_a_notebook() -> None:
    trace = rmaplab.read(recorded("prefork"))
    hostile = replace(trace, meta=replace(trace.meta, names=dict.fromkeys((1, 2, 3), "<img src=x>")))
    shown = rmaplab.judge(hostile)._repr_html_()
    assert "&lt;img src=x&gt;" in shown
    assert "<img" not in shown


def test_a_comparison_has_a_row_and_a_run_per_kernel() -> None:
    kernels = ["linux-6.12", "precise:moments"]
    found = rmaplab.compare("prefork", kernels, size=2 << 20)
    assert found.to_polars()["kernel"].to_list() == kernels
    copied = {name: found[name].to_dict()["kernel"]["copied_pages"] for name in kernels}
    assert found.to_polars()["copied"].to_list() == list(copied.values())
    assert copied["precise:moments"] < copied["linux-6.12"]
    assert all(name in found.plot().to_json() for name in kernels)


@pytest.mark.parametrize(
    ("ask", "named"),
    [
        (lambda: rmaplab.run("prefrok", on="model"), "did you mean prefork"),
        (lambda: rmaplab.run("fork-exit-write", on="model", k=5), "k: 5"),
        (lambda: rmaplab.run("prefork", kernel="linux-6.6"), "linux-6.6"),
        (lambda: rmaplab.run("prefork", on="lab"), "kernel"),
        (lambda: rmaplab.compare("prefork", "linux-6.6"), "linux-6.6"),
        (lambda: rmaplab.compare("prefork", []), "kernels"),
        (lambda: rmaplab.judge(recorded("prefork"), ["momnets"]), "did you mean moments"),
        (lambda: rmaplab.inspect(1, cgroup="/"), "cgroup"),
        (lambda: rmaplab.refute("generatons", 7), "did you mean generations"),
        (lambda: rmaplab.bench(["paked"]), "did you mean packed"),
    ],
)
def test_bad_input_is_an_error_that_names_it(ask, named: str) -> None:
    with pytest.raises(RmaplabError, match=re.escape(named)):
        ask()


@pytest.mark.skipif(os.geteuid() != 0, reason="page frame numbers are root's")
@pytest.mark.live
@pytest.mark.xdist_group("live")
def test_an_inspection_has_the_rows_of_the_command_and_shows_itself() -> None:
    mine = rmaplab.inspect(os.getpid(), by="process")
    assert mine.to_polars()["pid"].to_list() == [os.getpid()]
    assert mine.to_dict()["rows"][0]["resident"] == mine.rows[0]["resident"]
    assert str(os.getpid()) in repr(mine)
    assert str(os.getpid()) in mine._repr_html_()
    assert {"exclusive", "shared"} <= {row["mapped"] for row in mine.plot().to_dict()["datasets"].popitem()[1]}


def test_a_refutation_s_rows_are_the_witness() -> None:
    found = rmaplab.refute("generations", 7)
    assert found.witness is not None
    assert found.to_polars()["pages"].sum() == found.witness.mapcount
    assert found.verdict in repr(found)
    assert f"MM {found.witness.mm}" in found.plot().to_json()
    assert rmaplab.refute("bits", 2).to_polars().is_empty()


def test_registries_are_packages_and_mappings() -> None:
    assert list(rmaplab.schemes) == list(SCHEMES)
    assert rmaplab.schemes["moments"] is SCHEMES["moments"]
    assert "prefork" in rmaplab.scenarios
    assert len(rmaplab.scenarios) == len(SCENARIOS)
    assert all(name in repr(rmaplab.schemes) and name in rmaplab.schemes._repr_html_() for name in SCHEMES)
