"""What a kernel command needs and does not find is one line that names it, exit code 3, and nothing half-made stays."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.commands import MAIN, no_traceback

TREE = ("Kbuild", "Makefile", "Kconfig", "mm/Kconfig", "mm/Makefile", "mm/rmap.c", "include/linux/rmap.h")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What looks like a kernel tree whose folios have slots."""
    made = tmp_path / "tree"
    for name in TREE:
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).touch()
    (made / "include/linux/rmap.h").write_text("int folio_add_return_large_mapcount(void);\n")
    return made


def without(tmp_path: Path, *tools: str) -> str:
    """A PATH with all programs of this system but `tools`."""
    place = tmp_path / "bin"
    place.mkdir()
    for directory in ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"):
        for path in Path(directory).iterdir() if Path(directory).is_dir() else ():
            link = place / path.name
            if path.name not in tools and not link.is_symlink():
                link.symlink_to(path)
    return str(place)


def kernel(*words: str, before: tuple[str, ...] = (), **environment: str) -> subprocess.CompletedProcess[str]:
    command = [*before, sys.executable, "-c", MAIN, "kernel", *words]
    made = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=800
    )
    no_traceback(made.stderr)
    return made


@pytest.mark.parametrize(
    ("tools", "words"),
    [
        (("gcc",), ("build", "--kernel", "TREE", "--into", "OUT")),
        (("flex",), ("build", "--kernel", "7.3", "--flavour", "many")),
        (("spatch",), ("patch", "TREE", "--into", "OUT")),
        (("qemu-system-x86_64",), ("test", "--kernel", "7.3", "--scheme", "packed")),
        (("qemu-system-x86_64",), ("bench", "--kernel", "7.3,flavour=one")),
    ],
)
def test_a_missing_tool_is_named(tmp_path: Path, tree: Path, tools: tuple[str, ...], words: tuple[str, ...]) -> None:
    out = tmp_path / "out"
    named = [{"TREE": str(tree), "OUT": str(out)}.get(word, word) for word in words]
    ended = kernel(*named, PATH=without(tmp_path, *tools), XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert ended.returncode == 3, ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert tools[0].partition("-system")[0] in ended.stderr
    assert not out.exists()
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [("boot", "--kernel", "6.12"), ("build", "--kernel", "7.3", "--flavour", "one"), ("bench", "--kernel", "7.3")],
)
def test_without_a_network_the_archive_is_named(tmp_path: Path, words: tuple[str, ...]) -> None:
    if os.geteuid() or not shutil.which("unshare") or not shutil.which("apt-get"):
        pytest.skip("needs root, unshare and apt")
    if not shutil.which("qemu-system-x86_64") or not shutil.which("flex"):
        pytest.skip("needs what boots and builds kernels")
    ended = kernel(*words, before=("unshare", "-n"), XDG_CACHE_HOME=str(tmp_path))
    assert ended.returncode == 3, ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("rmaplab: Debian's ")
    for half_made in ("images", "trees", "patched", "built", "downloads"):
        assert not list(tmp_path.rglob(f"{half_made}/*"))


@pytest.mark.parametrize("words", [("build", "--kernel", "PLACE", "--into", "OUT"), ("patch", "PLACE", "--into", "OUT")])
def test_what_is_no_kernel_tree_is_refused(tmp_path: Path, words: tuple[str, ...]) -> None:
    named = [{"PLACE": str(tmp_path), "OUT": str(tmp_path / "out")}.get(word, word) for word in words]
    ended = kernel(*named)
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert "must be a Linux source tree" in ended.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ("build", "--kernel", "TREE", "--into", "ROOM/out"),
        ("build", "--kernel", "7.3", "--flavour", "many"),
        ("boot", "--kernel", "6.12"),
    ],
)
def test_without_room_nothing_begins(tmp_path: Path, tree: Path, words: tuple[str, ...]) -> None:
    if os.geteuid() or not shutil.which("unshare"):
        pytest.skip("needs root and unshare")
    if not shutil.which("qemu-system-x86_64") or not shutil.which("flex"):
        pytest.skip("needs what boots and builds kernels")
    room = tmp_path / "room"
    room.mkdir()
    # What is left there is looked for before the file system goes with its namespace.
    script = f'mount -t tmpfs -o size=64m none {room} && "$@"; s=$?; find {room} -type f -size +0; ls {room}; exit $s'
    named = [word.replace("TREE", str(tree)).replace("ROOM", str(room)) for word in words]
    ended = kernel(*named, before=("unshare", "-m", "sh", "-c", script, "sh"), XDG_CACHE_HOME=str(room / "cache"))
    assert ended.returncode == 3, ended.stderr
    assert ended.stderr.splitlines()[-1].endswith("MiB free: kernels need 2048 MiB")
    assert ended.stdout.split() in ([], ["cache"])
