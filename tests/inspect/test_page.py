"""The page: loads from a file without network, draws every folio, filters and explains; and cannot be injected into."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest

from rmaplab.inspect.accounting import Account
from rmaplab.inspect.disagree import LargeFolios
from rmaplab.inspect.exactness import Exactness
from rmaplab.inspect.extents import ABSENT, Extents, Slots
from rmaplab.inspect.folio_state import FolioState
from rmaplab.inspect.folios import ANON, FILE, Folios
from rmaplab.inspect.join import join
from rmaplab.inspect.look import Look
from rmaplab.inspect.processes import Mm, Notes, Process
from rmaplab.inspect.recheck import Moved
from rmaplab.inspect.sharing import share
from rmaplab.inspect.snapshot import Snapshot, Vmas
from rmaplab.inspect.views import Scope
from rmaplab.report.inspect_html import page_data, render

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--window-size=1300,900"),
    "--enable-logging=stderr",
)
EVIL = "</script><img src=x onerror=alert(1)>"
LARGE = 64
NEEDLESS = 32
"""Of the large folios: those of which a write copies something."""

PROBE = """
<script>
const report = { linked: document.getElementById("process").value };
const canvas = document.getElementById("map");
report.cells = +document.body.dataset.cells;
report.tallest = 0;
const copy = document.createElement("canvas"), pen = copy.getContext("2d", { willReadFrequently: true });
const count = () => {
  let cells = 0;
  for (let from = 0; from < shown.length; ) {
    scrollTo(0, scrollY + at("field").getBoundingClientRect().top + Math.floor(from / columns) * cell);
    paint();
    [copy.width, copy.height] = [canvas.width, canvas.height];
    pen.drawImage(canvas, 0, 0);
    const pixels = pen.getImageData(0, 0, canvas.width, canvas.height).data;
    const until = Math.min(shown.length, first * columns + canvas.height / cell * columns);
    report.tallest = Math.max(report.tallest, canvas.height);
    if (first * columns > from || until <= from) break;
    for (let n = from; n < until; n++) {
      const x = n % columns * cell + 1, y = (Math.floor(n / columns) - first) * cell + 1;
      cells += pixels[(y * canvas.width + x) * 4 + 3] === 255;
    }
    from = until;
  }
  return cells;
};
report.drawn = count();
const pick = (id, value) => {
  document.getElementById(id).value = value;
  document.getElementById(id).dispatchEvent(new Event("change"));
  return +document.body.dataset.cells;
};
report.shared = pick("sharing", "shared");
report.false = pick("sharing", "false");
pick("sharing", "");
report.large = pick("order", "4");
const box = canvas.getBoundingClientRect();
canvas.dispatchEvent(new MouseEvent("mousemove", { clientX: box.left + 3, clientY: box.top + 3 }));
report.tip = document.getElementById("tip").hidden ? "" : document.getElementById("tip").textContent;
canvas.dispatchEvent(new MouseEvent("mousemove", { clientX: box.left + (64 - 1) * cell + 3, clientY: box.top + 3 }));
report.other = document.getElementById("tip").textContent;
pick("order", "");
pick("zoom", "24");
report.zoomed = count();
pick("zoom", "");
pick("arrange", "who");
report.sorted = shown.every((i, n) => !n || data.sets[data.set[shown[n - 1]]].length <= data.sets[data.set[i]].length);
pick("arrange", "size");
report.sorted &&= shown.length === total && shown.every((i, n) => !n || data.order[shown[n - 1]] >= data.order[i]);
pick("arrange", "vma");
const owner = i => data.sets[data.set[i]][0];
report.sorted &&= shown.length === total && shown.every((i, n) => !n || owner(shown[n - 1]) < owner(i)
  || owner(shown[n - 1]) === owner(i) && data.mapping[shown[n - 1]] <= data.mapping[i]);
pick("arrange", "place");
const seen = one => getComputedStyle(one).backgroundColor + getComputedStyle(one).backgroundImage;
report.segments = [...document.querySelectorAll(".segments button")].map(one => one.title);
report.painted = [...document.querySelectorAll(".segments button")].every(one => seen(one) !== "rgba(0, 0, 0, 0)none");
report.behind = {};
for (const one of document.querySelectorAll(".segments button, #tree button, #matrix td")) {
  one.click();
  report.behind[one.title || one.textContent] = size(shown.reduce((sum, i) => sum + bytesOf(i), 0));
}
pick("process", ""); pick("other", ""); pick("sharing", "");
canvas.dispatchEvent(new KeyboardEvent("keydown", { key: "Home" }));
canvas.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
report.cursor = cursor;
report.finder = document.getElementById("finder").offsetParent === null;
report.images = document.images.length;
const out = document.createElement("pre");
out.id = "report";
out.textContent = "REPORT" + JSON.stringify(report) + "END";
document.body.append(out);
</script>
"""


def made_up(small: int) -> Look:
    """Three MMs: `small` small folios, one in four shared, and LARGE of order 4 that the kernel misjudges."""
    names = ["one", EVIL, "three"]
    mms = tuple(Mm((Process(2**22 + i, 1, name, 0, (str(i),)),)) for i, name in enumerate(names))
    order = np.concatenate((np.full(LARGE, 4), np.zeros(small))).astype(np.uint8)
    head = np.concatenate((np.arange(LARGE) * 16, LARGE * 16 + np.arange(small))).astype(np.uint32)
    folios = Folios(head, order, np.where(order > 0, ANON, FILE).astype(np.uint8))
    first = np.arange(LARGE + small) % 3
    rows = np.concatenate((np.arange(LARGE + small), np.arange(LARGE, LARGE + small, 4)))
    vma = np.concatenate((first, (first[LARGE::4] + 1) % 3)).astype(np.uint32)
    extents = Extents(
        vma, rows.astype(np.uint64), head[rows], (1 << order[rows]).astype(np.uint32), np.zeros(len(rows), np.uint8)
    )
    owner = vma.astype(np.int64)
    edge, flag = np.zeros(3, np.uint64), np.zeros(3, np.bool_)
    vmas = Vmas(np.arange(3), edge, edge, flag, flag, ["", "[heap]", EVIL])
    sharing = share(extents, owner, join(extents, owner), folios)
    absent = np.zeros((len(ABSENT), 3), np.int64)
    exactness = Exactness(EVIL)
    snapshot = Snapshot(
        mms, np.arange(3), vmas, sharing, absent, Slots.join([]), Notes(), Account(len(folios)), exactness, 0.0, 0.1
    )
    count = np.full(LARGE, 16)
    slots = np.full((LARGE, 2), -1)
    yes, no = np.ones(LARGE, np.bool_), np.zeros(LARGE, np.bool_)
    state = FolioState(count, count, slots[:, 0].astype(np.uint64), no, slots, slots, yes.astype(np.int8), yes)
    needless = np.where(np.arange(LARGE) < NEEDLESS, 16, 0)
    large = LargeFolios(np.arange(LARGE), state, yes, no, needless)
    return Look(Scope(snapshot, large), [], [], Moved(1, 1, 0, 0))


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("chromium is not installed")
    return found


def load(chromium: str, page: str, folder: Path, fragment: str = "") -> tuple[dict[str, object], str]:
    """Load a page with PROBE at its end; returns what PROBE saw, and the console's lines."""
    path = folder / "page.html"
    path.write_text(page.replace("</body>", PROBE + "</body>"))
    done = subprocess.run(
        [chromium, *FLAGS, f"--user-data-dir={folder / 'profile'}", "--dump-dom", path.as_uri() + fragment],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    text = done.stdout
    assert "REPORT{" in text, done.stderr[-2000:]
    report = text[text.rindex("REPORT{") + 6 : text.rindex("END")]
    console = "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
    return json.loads(report.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")), console


@pytest.mark.parametrize("small", [1000, 100_000])
def test_page_draws_filters_and_explains_every_folio(chromium: str, tmp_path: Path, small: int) -> None:
    report, console = load(chromium, render(made_up(small)), tmp_path)
    assert console == ""
    assert report["cells"] == report["drawn"] == report["zoomed"] == small + LARGE
    assert int(str(report["tallest"])) < 4000  # a canvas of all of them would be refused where there are a million
    assert report["sorted"] is True
    assert report["shared"] == small // 4
    assert report["false"] == report["large"] == LARGE
    assert "anon folio of order 4" in str(report["tip"])
    assert "mapped exclusively by" in str(report["tip"])
    assert "in (anonymous)" in str(report["tip"])
    assert "the next write copies" in str(report["tip"])
    assert "it is not" in str(report["other"])
    assert "copies" not in str(report["other"])
    assert report["images"] == 0


def test_each_picture_leads_to_the_folios_behind_it(
    chromium: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a bar, an edge or a square says in bytes is the sum of the folios that a click on it leaves."""
    monkeypatch.setattr("rmaplab.report.inspect_html.parents", lambda _: np.array([-1, 0, 0]))
    report, console = load(chromium, render(made_up(1000)), tmp_path, f"#pid={2**22 + 1}")
    assert console == ""
    assert report["linked"] == "1"  # a link from a watch's page
    assert report["painted"] is True
    behind = report["behind"]
    assert isinstance(behind, dict)
    said = {title: size for title, size in behind.items() if re.search(r"\d[BKMG]?( with its parent)?$", title)}
    assert len(said) > 8
    for title, size in said.items():
        assert re.search(r"([\d.]+[BKMG])(?: with its parent)?$", title).group(1) == size, title  # type: ignore[union-attr]
    assert any("with its parent" in title for title in said)
    assert report["cursor"] == 1
    assert report["finder"] is True


@pytest.mark.parametrize(
    ("pids", "places"),
    [((0, 2), ("[heap]",)), ((1,), ("(anonymous)", EVIL)), ((0, 1, 9), ()), ((2,), ("nowhere",))],
)
def test_a_link_shows_the_folios_of_its_processes_in_its_mappings(
    chromium: str, tmp_path: Path, pids: tuple[int, ...], places: tuple[str, ...]
) -> None:
    look = made_up(1000)
    data = page_data(look)
    chosen = {2**22 + p for p in pids}
    members = [chosen & {data["processes"][p]["pid"] for p in one} for one in data["sets"]]
    expected = sum(
        bool(members[one]) and (not places or data["mappings"][at] in places)
        for one, at in zip(data["set"], data["mapping"], strict=True)
    )
    fragment = "#pid=" + ",".join(map(str, sorted(chosen))) + "".join(f"&in={quote(name)}" for name in places)
    report, console = load(chromium, render(look), tmp_path, fragment)
    assert console == ""
    assert report["linked"] == "link"
    assert report["cells"] == expected


def test_console_errors_are_seen(chromium: str, tmp_path: Path) -> None:
    _, console = load(
        chromium, render(made_up(10)).replace("legend();", "legend(); setTimeout(() => nowhere());"), tmp_path
    )
    assert "nowhere" in console


def test_names_cannot_leave_their_place() -> None:
    page = render(made_up(10))
    assert EVIL not in page
    assert page.count("</script>") == 2
    assert "http" not in page.replace("http-equiv", "")


def test_page_holds_no_frame_numbers_unless_asked() -> None:
    look = made_up(10)
    assert "pfn" not in page_data(look)
    asked = Scope(look.snapshot, look.scope.large, addresses=True)
    assert len(page_data(Look(asked, [], [], look.moved))["pfn"]) == 10 + LARGE


def test_page_holds_command_lines_of_those_asked_for_only(monkeypatch: pytest.MonkeyPatch) -> None:
    look = made_up(10)
    snapshot = replace(look.snapshot, targets=np.array([1]))
    monkeypatch.setattr("rmaplab.report.inspect_html.command_line", lambda pid: f"command of {pid}")
    made = page_data(replace(look, scope=replace(look.scope, snapshot=snapshot)))
    assert [p["command"] for p in made["processes"]] == ["", f"command of {2**22 + 1}", ""]
