"""`rmaplab inspect`: who maps this machine's memory, exclusively or shared, and what the kernel makes of it."""

import os
import re
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
from rmaplab.inspect.erosion import worker_rows
from rmaplab.inspect.family import relatives
from rmaplab.inspect.freeze import frozen
from rmaplab.inspect.groups import total as total_of
from rmaplab.inspect.join import Index
from rmaplab.inspect.look import Look, look
from rmaplab.inspect.probes import KernelView, probe
from rmaplab.inspect.processes import Mm, Notes, command_line
from rmaplab.inspect.snapshot import Choose, by_pid, everybody, of_pids, require_frames
from rmaplab.inspect.views import By, Row, Scope, rows, sort_rows
from rmaplab.names import must_be
from rmaplab.report.console import emit_json, note, say, show, stdout, terminal_size
from rmaplab.report.inspect_table import DEFAULT_TOP, page, row_key
from rmaplab.system.files import check_place, write_file
from rmaplab.system.pids import checked_pid, find

_JSON_ROWS: Final = {"folio": 500, "vma": 20_000}
"""Rows in the JSON without `--top`, where there can be many: a machine has a million folios; a VMA takes 800 bytes."""
_SHOW_PROGRESS_AFTER: Final = 1.0
_WINDOW: Final = 2.0
"""Seconds of writes by which a fork is priced."""
_FORKS: Final = ("fork", "snapshot")
_SMAPS: Final = "kernel_"
"""How fields begin that are read from smaps, which holds its process up (docs/inspect.md)."""


@dataclass(frozen=True, slots=True)
class _Wish:
    """What the command line asked for."""

    pids: list[int] | None
    cgroup: str | None
    by: By
    sort: list[str]
    columns: list[str] | None
    top: int | None
    what_if: str | None
    addresses: bool
    details: bool
    family: bool = False
    name: str | None = None
    mapping: str | None = None
    total: bool = False
    window: float = _WINDOW


def inspect(
    pid: Annotated[
        list[int] | None, typer.Argument(parser=checked_pid, help="Processes to show; all if none and no --cgroup.")
    ] = None,
    cgroup: Annotated[str | None, typer.Option(help="Show the processes of this cgroup and those below.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Show all processes.")] = False,
    family: Annotated[
        bool, typer.Option("--family", help="With the descendants of the PIDs: what all of them share, some, one.")
    ] = False,
    name: Annotated[
        str | None, typer.Option(parser=options.pattern, help="Only processes whose name or command matches this.")
    ] = None,
    mapping: Annotated[
        str | None, typer.Option(parser=options.pattern, help="Only mappings whose file or name matches this.")
    ] = None,
    by: Annotated[By, typer.Option(help="One row per ... (worker: of a --family, what it still shares).")] = "process",
    sort: Annotated[
        str | None, typer.Option(help="Sort by these fields, as named in the JSON; -FIELD: the other way round.")
    ] = None,
    columns: Annotated[str | None, typer.Option(help="Show these fields, as named in the JSON.")] = None,
    total: Annotated[bool, typer.Option("--total", help="The sum of all shown, as if it were one process.")] = False,
    top: Annotated[
        int | None,
        typer.Option(
            parser=options.count(1),
            help=f"Rows shown (tables: {DEFAULT_TOP}; JSON by folio {_JSON_ROWS['folio']}, by vma {_JSON_ROWS['vma']}).",
        ),
    ] = None,
    what_if: Annotated[
        Literal["write", "fork", "snapshot", "no-page-mapcount"] | None,
        typer.Option(
            help="Price: bytes copied if all were written now; or, as it writes now, while the child of a fork (snapshot)"
            " lives. Or statistics without per-page mapcounts."
        ),
    ] = None,
    window: Annotated[
        float | None,
        typer.Option(parser=options.seconds(0.1), help="Seconds of writes to look at, for --what-if fork, snapshot."),
    ] = None,
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
    if addresses and not (html or parquet or (as_json and by in ("vma", "folio", "worker"))):
        raise RmaplabError(
            "--addresses: must come with --html, --parquet, or --json by vma, worker or folio: no table shows them"
        )
    if family and not pid and cgroup is None:
        raise RmaplabError("--family: must come with PIDs or --cgroup")
    if by == "worker" and not family:
        raise RmaplabError("--by worker: must come with --family")
    if mapping is not None and by in ("order", "folio", "worker"):
        raise RmaplabError(f"--mapping: {mapping}: must come without --by {by}, whose rows are no sums of mappings")
    if mapping is not None and (html or parquet or what_if):
        raise RmaplabError(f"--mapping: {mapping}: must come without --html, --parquet and --what-if, which are of all")
    _check_window(window, what_if, freeze)
    _check_places(html, parquet)
    for one in pid or []:
        find(one)
    pids = pid or None if cgroup is None else cgroup_pids(cgroup)
    fields, keys = _fields("--columns", columns), _fields("--sort", sort) or []
    details = as_json or "sharers" in (*(key.removeprefix("-") for key in keys), *(fields or ()))
    wish = _Wish(
        pids, cgroup, by, keys, fields, top, what_if, addresses, details, family, name, mapping, total, window or _WINDOW
    )
    try:
        require_frames()
    except NotAvailable as missing:
        asked = {
            "--by": by != "process",
            "--what-if": wish.what_if,
            "--parquet": parquet,
            "--html": html,
            "--watch": watch,
            "--freeze": freeze,
            "--addresses": addresses,
            "--family": family,
            "--mapping": mapping,
            "--columns": columns,
            "--total": total,
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


def _check_places(html: Path | None, parquet: Path | None) -> None:
    """Before a look is spent on what cannot be written."""
    if html is not None:
        check_place(html)
    if parquet is not None:
        import_module("rmaplab.trace").check_place(parquet)


def _check_window(window: float | None, what_if: str | None, freeze: bool) -> None:
    if window is not None and what_if not in _FORKS:
        raise RmaplabError(f"--window {window:g}: must come with --what-if fork or snapshot")
    if what_if in _FORKS and freeze:
        raise RmaplabError(f"--what-if {what_if}: must come without --freeze: who is stopped writes nothing")


def _answer(wish: _Wish, view: KernelView) -> tuple[Look, list[Row]]:
    answer = look(
        _chooser(wish),
        view,
        write=wish.what_if == "write",
        fork=wish.window if wish.what_if in _FORKS else None,
        statistics=wish.what_if == "no-page-mapcount",
        addresses=wish.addresses,
        family=wish.family,
        mapping=wish.mapping,
        smaps=wish.columns is None or any(_SMAPS in field for field in (*wish.columns, *wish.sort)),
        progress=_progress(),
    )
    if wish.by == "worker":
        found = worker_rows(answer.snapshot, answer.family.workers if answer.family else [], addresses=wish.addresses)
    else:
        found = rows(answer.scope, wish.by, details=wish.details)
    if (wish.columns or wish.sort) and not found and wish.by != "worker":
        _check_names(rows(_of_ourselves(view), wish.by, details=wish.details), wish)
    _check_names(found, wish)
    return answer, sort_rows(found, wish.sort, None)


def _check_names(found: list[Row], wish: _Wish) -> None:
    """Whether --columns and --sort name fields of these rows, if there are any."""
    sort_rows(found[:1], wish.sort, None)
    if found and (missing := [field for field in wish.columns or [] if field not in found[0]]):
        raise RmaplabError(f"--columns {missing[0]}: {must_be(missing[0], found[0])}")


def _of_ourselves(view: KernelView) -> Scope:
    """Something to show where nothing else is, for the names that its rows have."""
    return look(lambda mms: of_pids(mms, [os.getpid()]), view).scope


def _fields(option: str, listed: str | None) -> list[str] | None:
    if listed is None:
        return None
    found = [word.strip() for word in listed.split(",")]
    if not all(found):
        raise RmaplabError(f"{option} {listed!r}: must be names of fields, separated by commas")
    return found


def _chooser(wish: _Wish) -> Choose:
    kin = relatives(wish.pids) if wish.family and wish.pids and wish.cgroup is None else []

    def choose(mms: Sequence[Mm]) -> Index:
        known = by_pid(mms)
        if wish.pids is None:
            found = everybody(mms)
        else:
            asked = wish.pids if wish.cgroup is None else [pid for pid in wish.pids if pid in known]
            found = of_pids(mms, [*asked, *(pid for pid in kin if pid in known)])
        return found if wish.name is None else found[[_named(mms[mm], wish.name) for mm in found.tolist()]]

    return choose


def _named(mm: Mm, pattern: str) -> bool:
    return any(re.search(pattern, text) for one in mm.processes for text in (one.name, command_line(one.tid)))


def _progress() -> Callable[[int, int], None]:
    began = time.monotonic()

    def tell(done: int, total: int) -> None:
        if time.monotonic() - began > _SHOW_PROGRESS_AFTER:
            note(f"{done} of {total} address spaces read")

    return tell


def _show(answer: Look, found: list[Row], wish: _Wish, as_json: bool) -> None:
    if as_json:
        most = wish.top or _JSON_ROWS.get(wish.by)
        shown = found[:most] if wish.columns is None else [{f: row[f] for f in wish.columns} for row in found[:most]]
        sum_of_all = {"total": total_of(answer.scope)} if wish.total else {}
        emit_json({**answer.head(), **sum_of_all, "by": wish.by, "rows": shown})
        if wish.top is None and most is not None and len(found) > most:
            note(f"--by {wish.by}: the first {most} of {len(found)} rows; --top N gives more")
        return
    top = wish.top or DEFAULT_TOP
    whole = total_of(answer.scope) if wish.total else None
    show(page(answer, found[:top], max(0, len(found) - top), wish.by, columns=wish.columns, total=whole))


def _watch(wish: _Wish, view: KernelView, seconds: float) -> None:
    """Redraw in place until interrupted; where there is no terminal, write one table after the other."""
    before: dict[object, Row] | None = None
    top = wish.top or DEFAULT_TOP
    console = stdout()
    with Live(console=console, auto_refresh=False) if console.is_terminal else nullcontext() as live:
        while True:
            answer, found = _answer(wish, view)
            sum_of_all = total_of(answer.scope) if wish.total else None
            hidden = max(0, len(found) - top)
            shown = page(answer, found[:top], hidden, wish.by, before, columns=wish.columns, total=sum_of_all)
            if live:
                console.size = ConsoleDimensions(*terminal_size())
                live.update(shown, refresh=True)
            else:
                console.print(shown)
                console.file.flush()
            before = {row_key(row, wish.by): row for row in found}
            time.sleep(seconds)


def _without_frames(wish: _Wish, as_json: bool, missing: NotAvailable) -> None:
    """Show the kernel's own counters, and between what the truth lies, and end: it cannot be had."""
    notes = Notes()
    chosen = unprivileged.rows(wish.pids, notes, wish.name)
    found = sort_rows(chosen, wish.sort, wish.top)
    if as_json:
        label = "estimate" if chosen else "unknown"
        emit_json({"exactness": label, "why": str(missing), "left_out": notes.lines(), "rows": found})
    else:
        for row in found[: wish.top or DEFAULT_TOP]:
            seen = f"smaps RSS {row['kernel_rss']} PSS {row['kernel_pss']}"
            uss = f"USS {row['uss_at_least']} to {row['uss_at_most']}"
            pmds = "not told" if row["pmd_mapped"] is None else row["pmd_mapped"]
            say(f"{row['pid']:>8} {row['name']:<16} {seen}, by PMDs {pmds}, estimate: {uss}")
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
