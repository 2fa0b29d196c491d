"""Erosion from a trace: what became of pages that were shared when an MM was first seen."""

import json
from pathlib import Path

import pytest

from commands import rmaplab
from rmaplab.engine.erosion import erosion
from rmaplab.trace import Meta, Trace, TraceBuilder, write


def family() -> Trace:
    """MM 1 has 16 pages and a page of a file; 2 and 3 are forked; 2 copies 4 pages, 1 copies 8 others, 3 exits."""
    builder = TraceBuilder()
    (large,) = builder.folios([4], "anon").tolist()
    (file,) = builder.folios([0], "file").tolist()
    builder.events([large, file], 1, 0, [16, 1])
    for child in (2, 3):
        builder.tick()
        builder.events([large, file], child, 0, [16, 1])
    builder.tick()
    copies = builder.folios([0] * 4, "anon")
    builder.events(copies, 2, 0, 1)
    builder.events(large, 2, 0, -4)
    builder.tick()
    builder.events(builder.folios([0] * 8, "anon"), 1, 0, 1)
    builder.events(large, 1, 8, -8)
    builder.tick()
    builder.events([large, file], 3, 0, [-16, -1])
    return builder.build(Meta("test", exactness="exact", why="by hand", names={2: "wor\x1bker"}))


def test_a_worker_keeps_what_others_still_map_and_owns_what_they_left() -> None:
    curves = {curve.mm: curve for curve in erosion(family())}
    assert set(curves) == {2, 3}  # the first had nobody to inherit from
    assert len(curves[2].inherited) == 16
    shown = [(p.still_shared, p.alone, p.gone) for p in curves[2].points]
    assert shown == [(16, 0, 0), (16, 0, 0), (12, 0, 4), (12, 0, 4), (4, 8, 4)]
    assert curves[2].points[-1].kept == pytest.approx(0.25)
    assert [(p.still_shared, p.alone, p.gone) for p in curves[3].points][-2:] == [(16, 0, 0), (0, 0, 16)]


def test_an_entire_mapping_is_all_pages_of_its_folio() -> None:
    builder = TraceBuilder()
    (huge,) = builder.folios([9], "anon").tolist()
    for mm in (1, 2):
        builder.events(huge, mm, 0, 1, True)
        builder.tick()
    builder.events(huge, 2, 0, 512)
    builder.events(huge, 2, 0, -1, True)
    builder.tick()
    builder.events(huge, 2, 5, -1)
    (curve,) = erosion(builder.build(Meta("test")))
    assert [(p.still_shared, p.gone) for p in curve.points] == [(512, 0), (512, 0), (511, 1)]


def test_the_command_shows_the_curve_and_draws_it(tmp_path: Path) -> None:
    write(family(), tmp_path / "t")
    said = json.loads(rmaplab("trace", "erosion", str(tmp_path / "t"), "--json").stdout)
    last = [p for p in said["points"] if p["mm"] == 2][-1]
    assert (last["kept"], last["alone"]) == (0.25, 8 * 4096)
    shown = rmaplab("trace", "erosion", str(tmp_path / "t"), "--plot", str(tmp_path / "curve.svg"))
    assert shown.returncode == 0, shown.stderr
    assert "MM 2 wor\\x1bker" in shown.stdout
    assert "<svg" in (tmp_path / "curve.svg").read_text()
    wrong = rmaplab("trace", "erosion", str(tmp_path / "t"), "--plot", str(tmp_path / "curve.gif"))
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
