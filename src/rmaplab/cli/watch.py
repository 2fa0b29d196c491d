"""`rmaplab watch`: copy-on-write of a command, of processes or of a cgroup, as it happens."""

import json
import sys
import time
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from rmaplab.cli import options
from rmaplab.cli.exits import NOT_AVAILABLE
from rmaplab.errors import NotAvailable, RmaplabError
from rmaplab.inspect.cgroups import cgroup_pids
from rmaplab.inspect.processes import with_memory
from rmaplab.report.console import note
from rmaplab.report.watch import show_bounds, show_sum
from rmaplab.report.watch_screen import Screen
from rmaplab.system.command import Command
from rmaplab.system.files import check_place, write_file
from rmaplab.system.pids import checked_pid
from rmaplab.system.signals import Interrupted, shielded
from rmaplab.text import plain
from rmaplab.watch import answer, metrics, tables
from rmaplab.watch.budget import USUAL
from rmaplab.watch.estimate import Estimate
from rmaplab.watch.history import History
from rmaplab.watch.ledger import MOST_STACKS
from rmaplab.watch.looks import Looks, roots
from rmaplab.watch.watcher import Watch

_POLL = 0.05


def watch(
    context: typer.Context,
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[-- COMMAND...]", help="Run this command and watch it.")
    ] = None,
    pid: Annotated[
        list[int] | None, typer.Option(parser=checked_pid, help="Watch this process and its children (may be repeated).")
    ] = None,
    cgroup: Annotated[str | None, typer.Option(help="Watch the processes of this cgroup.")] = None,
    seconds: Annotated[
        float | None, typer.Option(parser=options.seconds(0.1), help="End the watch then; else when all ended, or ^C.")
    ] = None,
    every: Annotated[float, typer.Option(parser=options.seconds(0.1), help="Seconds between lines.")] = 1.0,
    top: Annotated[int, typer.Option(parser=options.count(1), help="Stacks to show.")] = 20,
    budget: Annotated[
        float, typer.Option(parser=options.share(), help="Share of one CPU that watching may cost; 0: no limit.")
    ] = USUAL,
    listen: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Serve OpenMetrics at http://HOST:PORT/metrics meanwhile.")
    ] = None,
    textfile: Annotated[Path | None, typer.Option(help="Write OpenMetrics to this file, every --every seconds.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the sum's processes to this file, as CSV.")] = None,
    parquet: Annotated[Path | None, typer.Option(help="Write the sum's tables to this directory, as Parquet.")] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write the sum as a page: processes, copies over time, a flame graph.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="JSON lines, the last one the sum; the command's output goes to stderr.")
    ] = False,
) -> None:
    """Watch who copies memory on write, where, and whether that was needed.

    With a command the exit code is the command's (128 + N if signal N ended it). ^C, SIGTERM, SIGHUP and SIGQUIT end the
    watch and go to the command, which gets SIGKILL 5 s later, or at the next of them. The sum is printed all the same.
    Without root or BPF there are bounds from /proc, labelled estimate; without a command the exit code is 3 then.
    """
    if [bool(command), bool(pid), cgroup is not None].count(True) != 1:
        raise RmaplabError("watch: --pid, --cgroup and -- COMMAND: must be one of them")
    if not (as_json or listen or textfile or html or (not command and _on_screen())):
        lines = "a place for lines: --json, --html, --listen, --textfile or a terminal"
        options.refuse(context, lines, "every", rule="must come with")
    place = metrics.address(listen) if listen else None
    for path in (textfile, csv, html, html and _behind(html)):
        if path is not None:
            check_place(path)
    for one in pid or []:
        with_memory(one)
    if parquet is not None and parquet.exists():
        raise RmaplabError(f"--parquet {parquet}: must not exist yet")
    running: Command | None = None
    ended: Interrupted | None = None
    try:
        with ExitStack() as after, ExitStack() as owned:
            watched = _watch(owned, budget or None)
            out = _Out(watched, owned, every, as_json, textfile, place, html)
            if html is not None:
                out.looks = after.enter_context(Looks(budget or None, every))
            try:
                if command:
                    running = watched.launch(command, sys.stderr.fileno() if as_json else None)
                else:
                    watched.add(pid or cgroup_pids(cgroup or ""), some_gone=cgroup is not None)
                    out.open_screen()
                _follow(watched, running, cgroup, out, seconds)
            except Interrupted as signalled:
                ended = signalled
                note(f"{signalled}: the sum so far")
                if running:
                    running.signal(signalled.number)
            with shielded():
                watched.poll()
                found = out.end(top)
            out.last_look(found)
        if html is not None:
            out.write_page(found, html)
        if csv is not None:
            tables.write_csv(found, csv)
        if parquet is not None:
            tables.write_parquet(found, parquet)
        less = 0 if isinstance(watched, Watch) else NOT_AVAILABLE
        code = running.wait(ending=ended is not None) if running else int(ended.code or 0) if ended else less
    finally:
        if running:
            running.close()
    if code:
        sys.exit(code)


def _watch(owned: ExitStack, share: float | None) -> Watch | Estimate:
    try:
        return owned.enter_context(Watch(share))
    except NotAvailable as error:
        note(f"{error}; bounds only, from /proc")
        return Estimate(str(error))


def _on_screen() -> bool:
    return sys.stdout.isatty() and sys.stdin.isatty()


class _Out:
    """Where lines go while the watch lasts, and the sum at its end."""

    def __init__(
        self,
        watched: Watch | Estimate,
        owned: ExitStack,
        every: float,
        as_json: bool,
        textfile: Path | None,
        place: tuple[str, int] | None,
        html: Path | None = None,
    ) -> None:
        self._watched, self._every, self._as_json, self._textfile = watched, every, as_json, textfile
        self._screen: Screen | None = None
        self._owned = owned
        self._last = time.monotonic()
        self._server: metrics.Server | None = None
        self._html, self._history = html, History()
        self.looks: Looks | None = None
        self._stacks: list[dict[str, Any]] = []
        if not isinstance(watched, Watch) and (place or textfile or html):
            raise NotAvailable("--listen, --textfile, --html: need the kernel's programs: no counters without them")
        if place is not None:
            self._server = metrics.Server(*place)
            owned.callback(self._server.close)
            note(f"metrics at http://{place[0]}:{self._server.port}/metrics")

    def open_screen(self) -> None:
        """Where there is a terminal, and nobody else writes to it."""
        if not self._as_json and isinstance(self._watched, Watch) and _on_screen():
            self._screen = self._owned.enter_context(Screen())

    def line(self) -> bool:
        """What is due by now; False if the user wants to end."""
        if self._screen and not self._screen.keys():
            return False
        if time.monotonic() - self._last >= self._every:
            self._last = time.monotonic()
            self._write()
        return True

    def _write(self) -> None:
        if isinstance(self._watched, Estimate):
            found = self._watched.line()
        else:
            found = answer.line(self._watched)
            self._note(found)
            if self._screen:
                self._screen.show(found, answer.processes(self._watched))
            self._expose(found)
        if self._as_json:
            _emit(found)

    def _note(self, found: dict[str, Any]) -> None:
        if self._html and isinstance(self._watched, Watch):
            self._history.note(self._watched.began, found["seconds"], self._watched.ledger.processes)
            if self.looks:
                self.looks.note(roots(self._watched.ledger.processes), found["seconds"])

    def _expose(self, found: dict[str, Any]) -> None:
        if isinstance(self._watched, Watch) and (self._server or self._textfile):
            text = metrics.text(self._watched.ledger.by_name, found)
            if self._server:
                self._server.text = text
            if self._textfile:
                write_file(self._textfile, text)

    def end(self, top: int) -> dict[str, Any]:
        """Detach, and give the sum."""
        if isinstance(self._watched, Estimate):
            found = self._watched.summary()
        else:
            found = answer.summary(self._watched, top)
            self._note(found)
            self._stacks = answer.stacks_of(self._watched, MOST_STACKS) if self._html else []
            self._watched.close()
            self._expose(found)
        self._owned.close()
        if self._as_json:
            _emit(found)
        elif isinstance(self._watched, Watch):
            show_sum(found)
        else:
            show_bounds(found)
        return found

    def last_look(self, found: dict[str, Any]) -> None:
        """At who is left, for the page; an interrupt leaves it out."""
        if self.looks and isinstance(self._watched, Watch):
            try:
                self.looks.last(roots(self._watched.ledger.processes), found["seconds"])
            except Interrupted as signalled:
                note(f"{signalled}: without the last look at the folios")

    def write_page(self, found: dict[str, Any], path: Path) -> None:
        """The sum as a page, readable by its owner only."""
        assert self.looks is not None
        behind = _behind(path) if self.looks.page else None
        made = import_module("rmaplab.report.watch_html")
        looks = self.looks
        kept = made.Kept(looks.curves, looks.names, looks.missed, behind.name if behind else "", looks.seen)
        write_file(path, made.page(found, self._stacks, self._history.curves, kept), private=True)
        note(f"page written to {path}")
        if behind is not None:
            write_file(behind, self.looks.page, private=True)
            note(f"the folios behind it, as they were after {looks.seen:.1f} s: {behind}")
        elif not looks.page:
            note("no folios: nobody lived until a first look was finished; --seconds N ends the watch while they live")


def _behind(page: Path) -> Path | None:
    """Where the folios behind a page go: beside it, if it is a file."""
    return page.with_name(f"{page.stem}-folios.html") if page.is_file() or not page.exists() else None


def _follow(
    watched: Watch | Estimate, running: Command | None, cgroup: str | None, out: _Out, seconds: float | None
) -> None:
    """Poll until the time is over, or everybody has ended."""
    began = time.monotonic()
    while True:
        ended = running is not None and running.ended()
        with shielded():
            if cgroup is not None:
                watched.add(cgroup_pids(cgroup), some_gone=True)
            watched.poll()
        over = seconds is not None and time.monotonic() - began >= seconds
        if not out.line() or ended or over or not watched.alive():
            return
        watched.wait(_POLL)


def _emit(row: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(plain(row), allow_nan=False) + "\n")
    sys.stdout.flush()
