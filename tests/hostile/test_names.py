"""Names that somebody chose to do harm: of processes, memfds, files, mount points. No output is steered by them."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import polars as pl
import pytest
from places import HERE, Place
from tenants import PAGE, Household

from rmaplab.extras import charts
from rmaplab.proctext import decoded
from rmaplab.text import for_json, for_terminal, from_json

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("live")]

NAMES = [
    b"\x1b[31mRED\x1b[2J",
    b"\x1b]0;pwn\x07",
    "\u009b31mC1".encode(),
    b"a\nb) 1 2 (",
    b"[/red]x",
    b"[red]hi",
    b":smile:",
    b"\xff\xfe",
    "\u202eevil".encode(),
    "a\u2028b\x85c".encode(),
    b"</script>",
    b"\r\x08\x7f",
]
STEERING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")
LOCALES = [
    {"LC_ALL": "C"},
    {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"LC_ALL": "C.UTF-8", "PYTHONUTF8": "0"},
    {"PYTHONIOENCODING": "latin-1:strict"},
    {"PYTHONIOENCODING": "ascii:strict"},
    {"PYTHONIOENCODING": "utf-8:strict"},
]


@pytest.mark.usefixtures("frames")
def test_a_name_is_shown_on_one_line_and_steers_nothing(tenants: Household) -> None:
    named = {tenants.start().pid: name for name in NAMES}
    for tenant in tenants.tenants:
        tenant.do("name", text=named[tenant.pid])
    done = HERE.rmaplab("inspect", *named)
    assert done.returncode in (0, 1), done.stderr
    text = done.stdout.decode()
    assert not STEERING.search(text.replace("\n", ""))
    for pid, name in named.items():
        (line,) = [line for line in text.split("\n") if line.split()[:1] == [str(pid)]]
        assert for_terminal(decoded(name[:15])).strip() in line


@pytest.mark.usefixtures("frames")
def test_json_and_page_hold_the_name_and_nothing_it_says(tenants: Household, workplace: Path) -> None:
    named = {tenants.start().pid: name for name in NAMES}
    for tenant in tenants.tenants:
        tenant.do("name", text=named[tenant.pid])
    page = workplace / "page.html"
    done = HERE.rmaplab("inspect", *named, "--json", "--html", str(page))
    assert done.returncode in (0, 1), done.stderr
    assert done.stdout.isascii()
    assert {row["pid"]: from_json(row["name"]) for row in json.loads(done.stdout)["rows"]} == {
        pid: name[:15] for pid, name in named.items()
    }
    data = page.read_text(encoding="utf-8").split('<script id="data" type="application/json">')[1].split("</script>")[0]
    assert data.isascii()
    shown = {process["name"] for process in json.loads(data)["processes"]}
    assert {for_terminal(decoded(name[:15])) for name in NAMES} <= shown


def test_without_root_a_name_is_no_markup(tenants: Household) -> None:
    place = Place(nobody=True)
    for name in (b"[/red]x", b"[red]hi"):
        tenant = tenants.start(place)
        tenant.do("name", text=name)
        done = place.rmaplab("inspect", tenant.pid)
        assert done.returncode == 3, done.stderr
        assert b"Traceback" not in done.stderr
        assert name in done.stdout


@pytest.mark.usefixtures("frames")
@pytest.mark.parametrize(
    "name", ["a\u2028zz".encode(), b"a\x85b \x1c\x0b-8 rw-p", b"\xff", b"x (deleted)", b"1-2 rw-p 0 0:0 0"]
)
def test_a_memfds_name_invents_no_vma(tenants: Household, name: bytes) -> None:
    tenant = tenants.start()
    at = tenant.memfd(name, 2 * PAGE)
    done = HERE.rmaplab("inspect", tenant.pid, "--by", "vma", "--addresses", "--json")
    assert done.returncode in (0, 1), done.stderr
    rows = [row for row in json.loads(done.stdout)["rows"] if "memfd" in row["name"]]
    assert [(row["start"], row["resident"], row["kernel_rss"]) for row in rows] == [(f"{at:x}", 2 * PAGE, 2 * PAGE)]
    assert from_json(rows[0]["name"]) == b"/memfd:" + name + b" (deleted)"


@pytest.mark.usefixtures("frames")
@pytest.mark.parametrize("locale", LOCALES)
def test_every_locale_shows_a_path_that_is_no_utf8(tenants: Household, workplace: Path, locale: dict[str, str]) -> None:
    tenant = tenants.start()
    path = bytes(workplace) + b"/n\xff\xe9 \xe2\x80\xa8\xc3\xa9"
    tenant.file(path, 2 * PAGE)
    for options in ([], ["--json"]):
        done = HERE.rmaplab("inspect", tenant.pid, "--by", "vma", *options, env=locale)
        assert done.returncode in (0, 1), done.stderr
        assert b"Traceback" not in done.stderr
    assert path in [from_json(row["name"]) for row in json.loads(done.stdout)["rows"]]


def test_a_strict_utf8_locale_is_no_trouble(tenants: Household, workplace: Path) -> None:
    if shutil.which("localedef") is None:
        pytest.skip("no localedef")
    made = ["localedef", "-i", "en_US", "-f", "UTF-8", str(workplace / "en_US.UTF-8")]
    if subprocess.run(made, capture_output=True, check=False).returncode:
        pytest.skip("en_US.UTF-8 cannot be made here")
    tenant = tenants.start()
    tenant.file(bytes(workplace) + b"/n\xff", PAGE)
    locale = {"LOCPATH": str(workplace), "LC_ALL": "en_US.UTF-8"}
    done = HERE.rmaplab("inspect", tenant.pid, "--by", "vma", env=locale)
    assert done.returncode in (0, 1, 3), done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("locale", LOCALES[1::2])
@pytest.mark.parametrize("words", [["schemes"], ["--help"], ["inspect", "--help"]])
def test_every_locale_can_be_written_to(words: list[str], locale: dict[str, str]) -> None:
    done = HERE.rmaplab(*words, env=locale)
    assert done.returncode == 0, done.stderr
    assert not done.stderr


@pytest.mark.parametrize("locale", LOCALES[1:2])
@pytest.mark.parametrize(
    "words",
    [
        [b"run", b"--on", b"trace", b"/no/\xff\x1b[31m\n\xe2\x80\xae"],
        [b"run", b"[red]no\xff[/red]"],
        [b"inspect", b"--cgroup", b"/no/\xff[/x]"],
        [b"no\xffsense"],
        [b"schemes", b"--\xff"],
        [b"record", b"/dev/null/\xff\n", b"--around", b"true"],
    ],
)
def test_bad_input_is_quoted_on_one_safe_line(words: list[bytes], locale: dict[str, str]) -> None:
    done = HERE.rmaplab(*words, env=locale)
    assert done.returncode in (2, 3), done.stderr
    text = done.stderr.decode("latin-1" if "latin" in str(locale) else "utf-8")
    assert text.count("\n") == 1
    assert not STEERING.search(text.replace("\n", ""))


@pytest.mark.usefixtures("frames")
def test_a_mount_point_may_be_any_bytes(tenants: Household, workplace: Path) -> None:
    tenant = tenants.start()
    tenant.memory(PAGE)
    mounted = decoded(bytes(workplace) + b"/m\xb1 \n\\040")
    Path(mounted).mkdir()
    done = Place(tmpfs=(mounted,)).rmaplab("inspect", tenant.pid)
    assert done.returncode in (0, 1), done.stderr
    assert b"Traceback" not in done.stderr


def test_output_files_may_have_any_name(workplace: Path) -> None:
    trace = bytes(workplace) + b"/t\xff\n\xe2\x80\xae"
    for locale in LOCALES[1:4:2]:
        words = [b"run", b"prefork", b"--on", b"model", b"--size", b"2M", b"--save-trace", trace]
        done = HERE.rmaplab(*words, env=locale)
        assert done.returncode == 0, done.stderr
        done = HERE.rmaplab(b"run", b"--on", b"trace", trace, b"--json", env=locale)
        assert done.returncode == 0, done.stderr
    assert for_json(decoded(trace))


def test_a_plot_holds_no_control_character_of_a_name() -> None:
    """The library that draws plots ends the whole program at one."""
    frame = pl.DataFrame([{"name": for_json(decoded(name)), "pid": 1, "exclusive": 1, "shared": 2} for name in NAMES])
    drawn = charts().memory(frame, "process").to_json()
    assert not STEERING.search(drawn.replace("\n", ""))
    assert not re.search(r"\\u00[01][0-9a-f]|\\u20[0-2][0-9a-f]", drawn.replace("\\\\u", ""))
