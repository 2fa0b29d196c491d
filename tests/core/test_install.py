"""`make install-core` gives headers that compile alone, and a pkg-config file that finds them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples/core"
HEADERS = sorted(path.stem for path in (ROOT / "core").glob("*.h"))
GCC = shutil.which("gcc")

pytestmark = pytest.mark.skipif(GCC is None, reason="needs gcc")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    prefix = tmp_path_factory.mktemp("prefix")
    command = ["make", "-s", "-C", str(ROOT), "install-core", f"PREFIX={prefix}"]
    subprocess.run(command, check=True, capture_output=True)
    return prefix


def flags(prefix: Path) -> list[str]:
    """What pkg-config says; where it is missing, the same from its file, which has no other variables."""
    if shutil.which("pkg-config"):
        where = {"PKG_CONFIG_PATH": str(prefix / "lib/pkgconfig")}
        command = ["pkg-config", "--cflags", "rmaplab-core"]
        return subprocess.run(command, env=where, check=True, capture_output=True, text=True).stdout.split()
    said = (prefix / "lib/pkgconfig/rmaplab-core.pc").read_text()
    (line,) = re.findall(r"^Cflags: (.*)$", said, re.MULTILINE)
    return str(line).replace("${includedir}", str(prefix / "include")).split()


def compiled(source: Path, prefix: Path, where: Path) -> Path:
    strict = ["-Wall", "-Wextra", "-Werror", "-O2"]
    subprocess.run([str(GCC), *flags(prefix), *strict, str(source), "-o", str(where)], check=True, cwd=where.parent)
    return where


@pytest.mark.parametrize("header", HEADERS)
def test_every_header_has_an_example_that_compiles_against_what_is_installed_and_holds(
    header: str, installed: Path, tmp_path: Path
) -> None:
    """An example asserts what it shows."""
    program = compiled(EXAMPLES / f"{header}.c", installed, tmp_path / "example")
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1


def test_the_fork_tree_says_what_the_schemes_say(installed: Path, tmp_path: Path) -> None:
    program = compiled(EXAMPLES / "third_process.c", installed, tmp_path / "example")
    said = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    assert said.split("\n")[:2] == ["mm_id        shared, copy", "moments_flag exclusive, reuse"]


@pytest.mark.parametrize("header", HEADERS)
def test_every_installed_header_compiles_alone(header: str, installed: Path, tmp_path: Path) -> None:
    source = tmp_path / "alone.c"
    source.write_text(f"#include <{header}.h>\nint main(void) {{ return 0; }}\n")
    compiled(source, installed, tmp_path / "alone")


def test_what_is_installed_names_the_version_and_nothing_of_the_checkout(installed: Path) -> None:
    said = (installed / "lib/pkgconfig/rmaplab-core.pc").read_text()
    assert re.search(r"^Version: \d+\.\d+\.\d+$", said, re.MULTILINE)
    assert "@" not in said
    assert str(ROOT) not in said
