"""A wheel, here built where no compiler works: what it carries, and what it does without the C core.

`make packages` installs wheel and sdist on every Python there is, with and without gcc.
"""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from rmaplab.campaigns.code import code

ROOT = Path(__file__).parents[1]
CHECKOUT = ROOT / "src"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: an own build leaves nothing in the checkout, and nothing of earlier builds comes in."""
    tree = tmp_path_factory.mktemp("tree") / "rmaplab"
    unwanted = shutil.ignore_patterns(".*", "build", "dist", "out", "*.so", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, tree, ignore=unwanted)
    made = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(made), str(tree)]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "CC": "false"})
    (found,) = made.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its files alone; what it depends on is taken from this environment."""
    place = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place)
    return place


def said(site: Path, program: str, *words: str) -> str:
    """What a program says that imports the package from `site`."""
    clean = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, env=clean, cwd=site, check=True
    )
    return done.stdout.strip()


def test_one_wheel_serves_every_python_from_3_11_on(wheel: Path) -> None:
    assert "-cp311-abi3-linux_" in wheel.name


@pytest.mark.parametrize("part", ["core", "kernel"])
def test_a_wheel_carries_the_c_that_is_compiled_later(part: str, installed: Path) -> None:
    shipped = installed / "rmaplab" / "shipped"
    there = {str(path.relative_to(shipped)): path.read_bytes() for path in (shipped / part).rglob("*") if path.is_file()}
    listed = subprocess.run(
        ["git", "ls-files", part], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert there == {name: (ROOT / name).read_bytes() for name in listed}


def test_what_a_wheel_did_adds_up_with_what_a_checkout_of_the_same_code_did(installed: Path) -> None:
    assert said(installed, "from rmaplab.campaigns.code import code; print(code())") == code()


def test_a_wheel_without_the_c_core_says_so_and_does_the_rest(installed: Path) -> None:
    program = "import rmaplab, rmaplab.core as c; print(rmaplab.__file__); print(c.why_missing())"
    where, why = said(installed, program).splitlines()
    assert where.startswith(str(installed))
    assert why.startswith("the C core is missing: ")
    assert "install a C compiler" in why
    answered = said(installed, "import rmaplab; print(rmaplab.run('prefork', on='model').judgement is not None)")
    assert answered == "True"


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_a_wheel_explores_races_in_the_headers_it_carries(installed: Path) -> None:
    program = "from rmaplab.cli.start import main; main()"
    answers = [
        said(site, program, "race", "writer-reader", "--model", "sc,c11", "--json") for site in (installed, CHECKOUT)
    ]
    assert len(json.loads(answers[0])) > 1
    assert answers[0] == answers[1]


def test_a_wheel_patches_kernels_with_the_rules_it_carries(installed: Path) -> None:
    program = "from rmaplab.kernels.patch import fingerprint as f; print(f())"
    assert said(installed, program) == said(CHECKOUT, program)
