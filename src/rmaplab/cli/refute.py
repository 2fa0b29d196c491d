"""`rmaplab refute`: decide whether a scheme, or a configuration of a linear one, can take shared memory for exclusive."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated

import typer

from rmaplab.campaigns import Rows
from rmaplab.cli import options
from rmaplab.cli.exits import FINDING, NOT_AVAILABLE
from rmaplab.cli.parting import ResumeOption, SchedulerOption, ShardOption, carried
from rmaplab.errors import RmaplabError
from rmaplab.report.console import emit_json, note, say, show, table
from rmaplab.report.refute import findings_table, in_words
from rmaplab.schemes import SCHEMES, Scheme
from rmaplab.verify.density import density_rows
from rmaplab.verify.refute.answers import with_replays
from rmaplab.verify.refute.decide import decide
from rmaplab.verify.refute.grid import Grid, finding_of
from rmaplab.verify.refute.machines import NONLINEAR, Event
from rmaplab.verify.refute.posted import needs, posted_findings
from rmaplab.verify.refute.problem import Budget, Decision, Finding, OutOfBudget
from rmaplab.verify.refute.programs import Leaks, on_this_kernel, smallest_leak
from rmaplab.verify.refute.programs import on_the_model as run_on_the_model
from rmaplab.verify.refute.replay import as_scheme
from rmaplab.verify.refute.rocq import script
from rmaplab.verify.refute.sequences import MOST_MAPPINGS, MOST_MMS, Searched, decide_sequences
from rmaplab.verify.refute.users import decide_users
from rmaplab.verify.refute.words import LINEAR, configure

_DEFAULT_USER_BITS = 4
_COW_ORDER = 2
_NO_TABLE = ("values", "id_bits", "word_bits", "subids", "posted", "show_needs", "density", "cow", "rocq")


def refute(
    context: typer.Context,
    scheme: Annotated[str | None, typer.Argument(help=f"One of {', '.join((*LINEAR, *NONLINEAR))}.")] = None,
    order: Annotated[
        list[int] | None, typer.Option(parser=options.order(1), help="Folio order (may be repeated); all by default.")
    ] = None,
    values: Annotated[
        int | None, typer.Option(parser=options.count(1), help="rmap values; the scheme's own number by default.")
    ] = None,
    id_bits: Annotated[
        int | None, typer.Option(parser=options.count(1), help="rmap IDs are 1 .. 2^B-1; the scheme's own by default.")
    ] = None,
    word_bits: Annotated[int, typer.Option(parser=options.count(1), help="Words wrap at 2^W.")] = 64,
    subids: Annotated[str | None, typer.Option(help="module:function from an rmap ID to its sub-ID(s).")] = None,
    posted: Annotated[bool, typer.Option("--posted", help="Both stages of the series, every order 2-15.")] = False,
    show_needs: Annotated[bool, typer.Option("--needs", help="Values and ID bits each order needs.")] = False,
    density: Annotated[bool, typer.Option("--density", help="How many IDs one 64-bit value can hold.")] = False,
    table_: Annotated[
        bool, typer.Option("--table", help="Every linear scheme, or the one named, at every order it covers.")
    ] = False,
    mms: Annotated[
        int, typer.Option(parser=options.count(2, MOST_MMS), help="Schemes that are no sums: MMs at most.")
    ] = 4,
    mappings: Annotated[
        int, typer.Option(parser=options.count(2, MOST_MAPPINGS), help="And mappings at a time, at most.")
    ] = 6,
    cow: Annotated[
        bool, typer.Option("--cow", help="The smallest program in which one process reads another's write.")
    ] = False,
    steps: Annotated[int, typer.Option(parser=options.count(1, 12), help="With --cow: steps at most.")] = 5,
    seconds: Annotated[
        float, typer.Option(parser=options.seconds(0), help="Give up on one configuration after this long.")
    ] = 60.0,
    shard: ShardOption = None,
    resume: ResumeOption = None,
    scheduler: SchedulerOption = None,
    rocq: Annotated[bool, typer.Option("--rocq", help="A Rocq theorem for each witness instead of tables.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list instead of tables.")] = False,
) -> None:
    """Sound, with the reason; or refuted, with the smallest witness; or undecided, and how far the search came.

    A witness is an MM that asks and a multiset of at most 2^order mappings, not all its own, that the words cannot tell
    from its own; for schemes that are no sums, a sequence of events. Exit code 1 if anything is refuted, else 3 if
    anything is undecided.
    """
    for mode, ignored in _ignored(scheme, subids, posted, show_needs, density, cow, as_json):
        options.refuse(context, mode, *ignored)
    if table_:
        options.refuse(context, "--table", *_NO_TABLE)
    else:
        options.refuse(context, "no --table, which reads it", "shard", "resume", "scheduler")
    if table_:
        if scheme is not None and scheme not in LINEAR:
            raise RmaplabError(f"scheme: {scheme}: must be linear, one of {', '.join(LINEAR)}, for --table")
        campaign = Grid.of(scheme, order, seconds)
        present(campaign, carried(campaign, shard, resume, scheduler, _tell), as_json)
    elif show_needs or density:
        orders = order or (range(1, 16) if show_needs else range(2, 14))
        rows = [asdict(needs(o, seconds)) for o in orders] if show_needs else density_rows(orders)
        _show_rows(rows, as_json)
        _end({Decision.UNDECIDED for r in rows if show_needs and r["posted_values"] and r["posted_sound"] is None})
    elif cow:
        _end(_cow(scheme, order, values, id_bits, word_bits, steps, seconds, as_json))
    elif scheme in NONLINEAR:
        searched = [
            decide_sequences(scheme, o, id_bits, word_bits, mms, mappings, seconds) for o in order or [_COW_ORDER]
        ]
        _show_searched(searched, as_json)
        _end({s.finding.decision for s in searched})
    else:
        findings = [
            with_replays(f) for f in _findings(scheme, order, values, id_bits, word_bits, subids, posted, seconds)
        ]
        if as_json:
            emit_json([f.row() for f in findings])
        elif rocq:
            typer.echo(script(findings), nl=False)
        else:
            _show(findings)
        _end({f.decision for f in findings})


campaign_of = Grid.again


def present(_campaign: Grid, rows: Rows, as_json: bool) -> None:
    """Print the findings, and end as they say."""
    findings = list(map(finding_of, rows))
    if as_json:
        emit_json([f.row() for f in findings])
    else:
        _show(findings)
    _end({f.decision for f in findings})


def _tell(_unit: int, rows: Rows, _sum: Rows) -> None:
    for found in map(finding_of, rows):
        note(f"{found.config.scheme}, order {found.config.order}: {found.decision.value}")


def _end(decisions: set[Decision]) -> None:
    """Exit 1 for a refutation, else 3 for what the time was too short to decide."""
    if Decision.REFUTED in decisions:
        raise typer.Exit(FINDING)
    if Decision.UNDECIDED in decisions:
        note("undecided: not everything was searched in the time given (--seconds)")
        raise typer.Exit(NOT_AVAILABLE)


def _ignored(
    scheme: str | None,
    subids: str | None,
    posted: bool,
    show_needs: bool,
    density: bool,
    cow: bool,
    as_json: bool,
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The modes that were asked for, each with the parameters it does not read."""
    bounds = ("mms", "mappings", "cow", "steps")
    own = ("values", "id_bits", "word_bits", "subids", "posted", "rocq", *bounds)
    if as_json:
        yield "--json", ("rocq",)
    if show_needs:
        yield "--needs", ("scheme", *own, "density")
    if density:
        yield "--density", ("scheme", *own, "seconds")
    if posted:
        if scheme not in (None, "generations"):
            yield "--posted, which is about generations", ("scheme",)
        yield "--posted", ("order", *(name for name in own if name not in ("posted", "rocq")))
    if subids is not None:
        yield "--subids", ("scheme", "values", "rocq", *bounds)
    if cow:
        yield "--cow", ("rocq", "mms", "mappings")
    else:
        yield "no --cow, which reads it", ("steps",)
    if scheme in NONLINEAR:
        yield scheme, ("values", "rocq")
        if cow:
            yield f"{scheme} --cow", ("id_bits", "word_bits")
    else:
        yield "a scheme that is no sum", ("mms", "mappings")


def _findings(
    scheme: str | None,
    order: list[int] | None,
    values: int | None,
    id_bits: int | None,
    word_bits: int,
    subids: str | None,
    posted: bool,
    seconds: float,
) -> Iterator[Finding]:
    if subids is not None:
        for one in order or [4]:
            yield decide_users(subids, one, id_bits or _DEFAULT_USER_BITS, word_bits, seconds)
        return
    if posted:
        yield from posted_findings(seconds)
        return
    if scheme is None:
        raise RmaplabError("scheme: missing: name a linear scheme or another, or give a mode such as --posted")
    orders = order or (SCHEMES[scheme].orders if scheme in LINEAR else [1])
    for one in orders:
        yield decide(configure(scheme, one, values, id_bits, word_bits), seconds)


def _cow(
    scheme: str | None,
    order: list[int] | None,
    values: int | None,
    id_bits: int | None,
    word_bits: int,
    steps: int,
    seconds: float,
    as_json: bool,
) -> set[Decision]:
    """The smallest leaking program of a scheme, or configuration; what model and running kernel do in it."""
    rows: list[dict[str, object]] = []
    for one in order or [_COW_ORDER]:
        own = scheme in NONLINEAR or scheme == "truth"
        decides = (
            SCHEMES[scheme] if own and scheme else as_scheme(configure(scheme or "", one, values, id_bits, word_bits))
        )
        if decides is None:
            raise RmaplabError(f"word bits: {word_bits}: the engine's words have 64")
        row: dict[str, object] = {"scheme": scheme, "order": one}
        try:
            rows.append(row | _cow_row(smallest_leak(decides, one, steps, Budget.seconds(seconds)), decides))
        except OutOfBudget as stopped:
            rows.append(row | {"verdict": Decision.UNDECIDED.value, "reason": f"stopped: {stopped}", "program": None})
    if as_json:
        emit_json(rows)
    else:
        show(table("Can one process read what another wrote?", list(rows[0]), _cells(rows), left=5))
    return {Decision(str(row["verdict"])) for row in rows}


def _cow_row(leaks: Leaks, decides: Scheme) -> dict[str, object]:
    if leaks.program is None:
        reason = f"no program of 3 processes and up to {leaks.steps} steps leaks: {leaks.states} states"
        return {"verdict": Decision.SOUND.value, "reason": reason, "program": None}
    said = [run_on_the_model(leaks.program, decides), on_this_kernel(leaks.program)]
    reason = "; ".join((f"fewest steps, of {leaks.states} states", *said))
    steps = ", ".join(map(str, leaks.program.steps))
    program = f"MM 1 touches {1 << leaks.program.order} pages; {steps}; MM {leaks.program.reader} reads it"
    return {"verdict": Decision.REFUTED.value, "reason": reason, "program": program}


def _show_searched(searched: list[Searched], as_json: bool) -> None:
    if as_json:
        emit_json([s.row() for s in searched])
        return
    rows = [
        (c.scheme, c.order, c.id_bits, c.word_bits, s.finding.decision.value, s.finding.reason)
        for s in searched
        for c in [s.finding.config]
    ]
    columns = ("scheme", "order", "ID bits", "word bits", "verdict", "reason")
    show(table("Can it take shared for exclusive?", columns, rows, left=len(columns)))
    for s in searched:
        for what, wrong in s.wrong.items():
            events = "; ".join(_event(e) for e in wrong.events)
            say("", f"{s.finding.config.scheme}: false {what}: {events}. Then MM {wrong.mm} asks.")


def _event(e: Event) -> str:
    how = "the whole folio" if e.entire else f"{abs(e.nr)} from page {e.page} on"
    return f"MM {e.mm} {'maps' if e.nr > 0 else 'unmaps'} {how}"


def _show(findings: list[Finding]) -> None:
    show(findings_table(findings))
    shown = set()
    for f in findings:
        if f.witness is not None and str(f.witness) not in shown:
            shown.add(str(f.witness))
            say(*in_words(f))


def _show_rows(rows: list[dict[str, object]], as_json: bool) -> None:
    if as_json:
        emit_json(rows)
        return
    columns = [name.replace("_", " ") for name in rows[0]]
    show(table("64-bit words, per order", columns, _cells(rows)))


def _cells(rows: list[dict[str, object]]) -> list[list[object]]:
    return [["-" if v is None else v for v in row.values()] for row in rows]
