"""`rmaplab inspect`: who maps this machine's memory, exclusively or shared, and what the kernel makes of it."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Final, Literal

import typer
from rich.console import ConsoleDimensions
from rich.live import Live

from rmaplab.cli import options
from rmaplab.cli.exits import FINDING, NOT_AVAILABLE
from rmaplab.errors import NotAvailable, RmaplabError
from rmaplab.inspect import unprivileged
from rmaplab.inspect.cgroups import cgroup_pids, find_cgroup
from rmaplab.inspect.freeze import frozen
from rmaplab.inspect.join import Index
from rmaplab.inspect.look import Look, look
from rmaplab.inspect.probes import KernelView, probe
from rmaplab.inspect.processes import Mm, Notes
from rmaplab.inspect.snapshot import Choose, by_pid, everybody, of_pids, require_frames
from rmaplab.inspect.views import By, Row, rows, sort_rows
from rmaplab.report.console import emit_json, note, say, show, stdout, terminal_size
from rmaplab.report.inspect_table import DEFAULT_TOP, page, row_key
from rmaplab.system.files import check_place, write_file
from rmaplab.system.pids import checked_pid, find

_JSON_ROWS: Final = {"folio": 500, "vma": 20_000}
"""Rows in the JSON without `--top`, where there can be many: a machine has a million folios; a VMA takes 800 bytes."""
_SHOW_PROGRESS_AFTER: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Wish:
    """What the command line asked for."""

    pids: list[int] | None
    cgroup: str | None
    by: By
    sort: str | None
    top: int | None
    write: bool
    addresses: bool
    details: bool


def inspect(
    pid: Annotated[
        list[int] | None, typer.Argument(parser=checked_pid, help="Processes to show; all if none and no --cgroup.")
    ] = None,
    cgroup: Annotated[str | None, typer.Option(help="Show the processes of this cgroup and those below.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Show all processes.")] = False,
    by: Annotated[
        Literal["process", "vma", "cgroup", "order", "folio"], typer.Option(help="One row per ...")
    ] = "process",
    sort: Annotated[str | None, typer.Option(help="Sort by this field (as named in the JSON).")] = None,
    top: Annotated[
        int | None,
        typer.Option(
            parser=options.count(1),
            help=f"Rows shown (tables: {DEFAULT_TOP}; JSON by folio {_JSON_ROWS['folio']}, by vma {_JSON_ROWS['vma']}).",
        ),
    ] = None,
    what_if: Annotated[Literal["write"] | None, typer.Option(help="Price: bytes copied if all were written now.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
    parquet: Annotated[Path | None, typer.Option(help="Write the mappings as a trace to this directory.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a map of the memory as one self-contained page.")] = None,
    watch: Annotated[
        float | None, typer.Option(parser=options.seconds(0.1), help="Look again every SECONDS, showing what changed.")
    ] = None,
    freeze: Annotated[bool, typer.Option("--freeze", help="Stop the processes while looking.")] = False,
    addresses: Annotated[bool, typer.Option("--addresses", help="Include PFNs and addresses.")] = False,
) -> None:
    """Who maps this machine's memory, exclusively or shared, exactly."""
    if (pid is not None and bool(pid)) + (cgroup is not None) + everything > 1:
        raise RmaplabError("inspect: PIDs, --cgroup and --all: must be only one of them")
    if freeze and not pid and cgroup is None:
        raise RmaplabError("--freeze: must come with PIDs or --cgroup")
    if watch is not None and (freeze or html or parquet):
        raise RmaplabError("--watch: must come without --freeze, --html and --parquet")
    if watch is not None and as_json:
        raise RmaplabError("--watch: must come without --json")
    if addresses and not (html or parquet or (as_json and by in ("vma", "folio"))):
        raise RmaplabError(
            "--addresses: must come with --html, --parquet, or --json by vma or folio: no table shows them"
        )
    for one in pid or []:
        find(one)
    if html is not None:
        check_place(html)
    pids = pid or None if cgroup is None else cgroup_pids(cgroup)
    wish = _Wish(pids, cgroup, by, sort, top, what_if == "write", addresses, as_json or sort == "sharers")
    try:
        require_frames()
    except NotAvailable as missing:
        asked = {
            "--by": by != "process",
            "--what-if": wish.write,
            "--parquet": parquet,
            "--html": html,
            "--watch": watch,
            "--freeze": freeze,
            "--addresses": addresses,
        }
        if refused := [name for name, given in asked.items() if given]:
            raise NotAvailable(f"{', '.join(refused)}: {missing}") from missing
        _without_frames(wish, as_json, missing)
    view = probe()
    try:
        if watch is not None:
            _watch(wish, view, watch)
            return
        with frozen(pids or [], find_cgroup(cgroup) if cgroup else None) if freeze else nullcontext():
            answer, found = _answer(wish, view)
        with ExitStack() as outputs:  # the last is done first; the failure of one takes no other along
            outputs.callback(_show, answer, found, wish, as_json)
            if parquet is not None:
                outputs.callback(_save_parquet, answer, view, parquet)
            if html is not None:
                outputs.callback(_save_html, answer, html)
    finally:
        view.close()
    if answer.finding:
        raise typer.Exit(FINDING)


def _answer(wish: _Wish, view: KernelView) -> tuple[Look, list[Row]]:
    answer = look(_chooser(wish), view, write=wish.write, addresses=wish.addresses, progress=_progress())
    return answer, sort_rows(rows(answer.scope, wish.by, details=wish.details), wish.sort, None)


def _chooser(wish: _Wish) -> Choose:
    def choose(mms: Sequence[Mm]) -> Index:
        if wish.pids is None:
            return everybody(mms)
        known = by_pid(mms)
        return of_pids(mms, wish.pids if wish.cgroup is None else [pid for pid in wish.pids if pid in known])

    return choose


def _progress() -> Callable[[int, int], None]:
    began = time.monotonic()

    def tell(done: int, total: int) -> None:
        if time.monotonic() - began > _SHOW_PROGRESS_AFTER:
            note(f"{done} of {total} address spaces read")

    return tell


def _show(answer: Look, found: list[Row], wish: _Wish, as_json: bool) -> None:
    if as_json:
        most = wish.top or _JSON_ROWS.get(wish.by)
        emit_json({**answer.head(), "by": wish.by, "rows": found[:most]})
        if wish.top is None and most is not None and len(found) > most:
            note(f"--by {wish.by}: the first {most} of {len(found)} rows; --top N gives more")
        return
    top = wish.top or DEFAULT_TOP
    show(page(answer, found[:top], max(0, len(found) - top), wish.by))


def _watch(wish: _Wish, view: KernelView, seconds: float) -> None:
    """Redraw in place until interrupted; where there is no terminal, write one table after the other."""
    before: dict[object, Row] | None = None
    top = wish.top or DEFAULT_TOP
    console = stdout()
    with Live(console=console, auto_refresh=False) if console.is_terminal else nullcontext() as live:
        while True:
            answer, found = _answer(wish, view)
            shown = page(answer, found[:top], max(0, len(found) - top), wish.by, before)
            if live:
                console.size = ConsoleDimensions(*terminal_size())
                live.update(shown, refresh=True)
            else:
                console.print(shown)
                console.file.flush()
            before = {row_key(row, wish.by): row for row in found}
            time.sleep(seconds)


def _without_frames(wish: _Wish, as_json: bool, missing: NotAvailable) -> None:
    """Show the kernel's own counters and end: the truth cannot be had."""
    notes = Notes()
    found = sort_rows(unprivileged.rows(wish.pids, notes), wish.sort, wish.top)
    if as_json:
        emit_json({"exactness": "unknown", "why": str(missing), "left_out": notes.lines(), "rows": found})
    else:
        for row in found[: wish.top or DEFAULT_TOP]:
            say(f"{row['pid']:>8} {row['name']:<16} smaps RSS {row['kernel_rss']} USS {row['kernel_uss']}")
        for line in notes.lines():
            note(f"left out: {line}")
    note(f"rmaplab: {missing}")
    raise typer.Exit(NOT_AVAILABLE)


def _save_html(answer: Look, path: Path) -> None:
    render = import_module("rmaplab.report.inspect_html").render
    write_file(path, render(answer), private=True)
    note(f"page written to {path}")


def _save_parquet(answer: Look, view: KernelView, path: Path) -> None:
    recorder = import_module("rmaplab.inspect.recorder").Recorder(view.reader, view.flag_bit, pfns=answer.scope.addresses)
    recorder.add(answer.snapshot, answer.snapshot.targets)
    import_module("rmaplab.inspect.saving").save_trace(recorder.trace(), path)
    note(f"trace written to {path}")
