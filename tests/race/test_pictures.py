"""Change one barrier, run one command, and see model by model the execution that breaks."""

import json
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from commands import rmaplab
from rmaplab.sources import CORE
from rmaplab.verify.race.barriers import BARRIERS
from rmaplab.verify.race.draw import cycle, edges, svg
from rmaplab.verify.race.engine import Event, Execution

pytestmark = pytest.mark.skipif(not (shutil.which("gcc") or shutil.which("cc")), reason="needs a C compiler")

SVG = "{http://www.w3.org/2000/svg}"
RED = "#d00000"
FENCE = next(b for b in BARRIERS if b.name == "acquire fence of rmap_read_retry")


def copied(folder: Path, old: str = "", new: str = "") -> Path:
    """A copy of core/'s headers, in which `old` has become `new`."""
    copy = Path(shutil.copytree(CORE, folder / "core"))
    header = copy / FENCE.file
    text = header.read_text()
    assert old in text
    header.write_text(text.replace(old, new, 1) if old else text)
    return copy


def race(core: Path, pictures: Path, *words: str) -> tuple[int, list[dict[str, object]], str]:
    done = rmaplab("race", *words, "--core", str(core), "--draw", str(pictures), "--json")
    return done.returncode, json.loads(done.stdout), (pictures / "race.html").read_text()


def test_a_barrier_taken_out_of_a_copy_is_an_execution_drawn_for_each_model_that_breaks(tmp_path: Path) -> None:
    core = copied(tmp_path, FENCE.old, FENCE.new)
    code, rows, page = race(core, tmp_path / "pictures", "writer-reader/cmpxchg", "--model", "sc,c11,armv8")
    assert code == 1
    assert {row["model"] for row in rows if row["verdict"] == "broken"} == {"c11", "armv8"}
    assert {path.name for path in (tmp_path / "pictures").glob("*.svg")} == {
        f"writer-reader-cmpxchg-{model}-torn.svg" for model in ("c11", "armv8")
    }
    assert page.count("<svg") == 2
    assert "-\trmap_fence_acquire();" in page
    assert "Not seen to break under sc." in page


def test_an_unchanged_copy_breaks_nothing_and_the_page_says_so(tmp_path: Path) -> None:
    code, rows, page = race(copied(tmp_path), tmp_path / "pictures", "writer-reader/shared", "--model", "c11")
    assert code == 0
    assert {row["verdict"] for row in rows} == {"kept"}
    assert "<svg" not in page
    assert "No promise of ours is broken." in page
    assert "The change" not in page


def test_the_page_shows_the_smallest_execution_of_a_promise(tmp_path: Path) -> None:
    core = copied(tmp_path, FENCE.old, FENCE.new)
    words = ("two-writers-reader/cmpxchg", "writer-reader/cmpxchg", "--model", "c11")
    _, rows, page = race(core, tmp_path / "pictures", *words)
    assert len([row for row in rows if row["verdict"] == "broken"]) == 2
    assert page.count("<svg") == 1
    assert "writer-reader/cmpxchg under c11: broken" in page


def test_what_is_no_copy_of_the_headers_or_does_not_compile_is_one_line(tmp_path: Path) -> None:
    for core, says in (
        (tmp_path, "has no atomic_seqcount.h"),
        (copied(tmp_path, "rmap_fence_acquire();", "rmap_fence_acquire()"), "does not compile"),
    ):
        done = rmaplab("race", "writer-reader", "--core", str(core), "--draw", str(tmp_path / "pictures"))
        assert done.returncode == 2
        assert says in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert not (tmp_path / "pictures").exists()


def store_buffering() -> Execution:
    """x = 1; read y = 0 beside y = 1; read x = 0."""
    return Execution(
        (
            Event(-1, "W", 0, 0, ()),
            Event(-1, "W", 1, 0, ()),
            Event(0, "W", 0, 1, ()),
            Event(0, "R", 1, 0, (), reads_from=1),
            Event(1, "W", 1, 1, ()),
            Event(1, "R", 0, 0, (), reads_from=0),
        ),
        ((0, 2), (1, 4)),
    )


def test_a_drawing_has_a_box_an_event_of_a_thread_and_the_cycle_in_red() -> None:
    drawn = store_buffering()
    assert [edge[2] for edge in cycle(drawn)] in (["po", "fr", "po", "fr"], ["fr", "po", "fr", "po"])
    root = ET.fromstring(svg(drawn, ("left", "right"), ("x", "y"), "a < b"))
    texts = ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]
    assert {"left", "right", "a < b", "2: writes x = 0x1", "3: reads y = 0x0 at first"} <= set(texts)
    boxes = [box for box in root.iter(f"{SVG}rect") if box.get("rx")]
    assert len(boxes) == 4
    arrows = [path for path in root.iter(f"{SVG}path") if path.get("marker-end")]
    assert len([path for path in arrows if path.get("stroke") == RED]) == 4
    assert len(arrows) == len([e for e in edges(drawn) if drawn.events[e[0]].thread >= 0])


def test_every_arrow_and_box_of_a_drawing_lies_inside_it() -> None:
    root = ET.fromstring(svg(store_buffering(), ("left", "right"), ("x", "y"), "t"))
    width, height = (float(root.get(name, "0")) for name in ("width", "height"))
    for box in root.iter(f"{SVG}rect"):
        assert 0 <= float(box.get("x", "0")) <= width - float(box.get("width", "0"))
        assert 0 <= float(box.get("y", "0")) <= height - float(box.get("height", "0"))
