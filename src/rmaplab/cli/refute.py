"""`rmaplab refute`: decide whether a configuration of a linear scheme can take shared memory for exclusive."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Annotated

import typer

from rmaplab.cli import options
from rmaplab.cli.exits import FINDING
from rmaplab.errors import RmaplabError
from rmaplab.report.console import emit_json, say, show, table
from rmaplab.schemes import SCHEMES
from rmaplab.verify.density import density_rows
from rmaplab.verify.refute.decide import decide
from rmaplab.verify.refute.elsewhere import on_the_core, on_the_model
from rmaplab.verify.refute.posted import needs, posted_findings
from rmaplab.verify.refute.problem import Decision, Finding
from rmaplab.verify.refute.replay import replayed
from rmaplab.verify.refute.rocq import script
from rmaplab.verify.refute.users import decide_users, load
from rmaplab.verify.refute.words import LINEAR, configure

_DEFAULT_USER_BITS = 4


def refute(
    context: typer.Context,
    scheme: Annotated[str | None, typer.Argument(help=f"One of {', '.join(LINEAR)}.")] = None,
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
    seconds: Annotated[
        float, typer.Option(parser=options.seconds(0), help="Give up on one configuration after this long.")
    ] = 60.0,
    rocq: Annotated[bool, typer.Option("--rocq", help="A Rocq theorem for each witness instead of tables.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list instead of tables.")] = False,
) -> None:
    """Sound, with the reason; or refuted, with the smallest witness; or undecided, and how far the search came.

    A witness is an MM that asks and a multiset of at most 2^order mappings, not all its own, that the words cannot tell
    from its own. Exit code 1 if anything is refuted.
    """
    for mode, ignored in _ignored(subids, posted, show_needs, density, as_json):
        options.refuse(context, mode, *ignored)
    if show_needs or density:
        orders = order or (range(1, 16) if show_needs else range(2, 14))
        _show_rows([asdict(needs(o, seconds)) for o in orders] if show_needs else density_rows(orders), as_json)
        return
    findings = []
    for finding in _findings(scheme, order, values, id_bits, word_bits, subids, posted, seconds):
        findings.append(_with_replay(finding))
    if as_json:
        emit_json([f.row() for f in findings])
    elif rocq:
        typer.echo(script(findings), nl=False)
    else:
        _show(findings)
    if any(f.decision is Decision.REFUTED for f in findings):
        raise typer.Exit(FINDING)


def _ignored(
    subids: str | None, posted: bool, show_needs: bool, density: bool, as_json: bool
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The modes that were asked for, each with the parameters it does not read."""
    own = ("values", "id_bits", "word_bits", "subids", "posted", "rocq")
    if as_json:
        yield "--json", ("rocq",)
    if show_needs:
        yield "--needs", ("scheme", *own, "density")
    if density:
        yield "--density", ("scheme", *own, "seconds")
    if posted:
        yield "--posted", ("order", *(name for name in own if name not in ("posted", "rocq")))
    if subids is not None:
        yield "--subids", ("scheme", "values", "rocq")


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
        function = load(subids)
        for one in order or [4]:
            yield decide_users(subids, function, one, id_bits or _DEFAULT_USER_BITS, word_bits, seconds)
        return
    if posted and scheme in (None, "generations"):
        yield from posted_findings(seconds)
        return
    if scheme is None or posted:
        raise RmaplabError("refute: name a linear scheme; --posted goes with generations")
    orders = order or (SCHEMES[scheme].orders if scheme in LINEAR else [1])
    for one in orders:
        yield decide(configure(scheme, one, values, id_bits, word_bits), seconds)


def _with_replay(finding: Finding) -> Finding:
    """With what engine, model and C core say of the witness. User functions have no scheme to replay."""
    if finding.witness is None or finding.config.scheme not in LINEAR:
        return finding
    answers = [where(finding.config, finding.witness) for where in (replayed, on_the_model, on_the_core)]
    return replace(finding, replays=tuple(a for a in answers if a))


def _show(findings: list[Finding]) -> None:
    rows = []
    for f in findings:
        c, w = f.config, f.witness
        smallest = f"{w.mapcount} mappings, {len(w.mappings)} MMs" if w else "-"
        rows.append((c.scheme, c.order, c.values, c.id_bits, c.word_bits, f.decision.value, smallest, f.reason))
    columns = ("scheme", "order", "values", "ID bits", "word bits", "verdict", "smallest witness", "reason")
    show(table("Can it take shared for exclusive?", columns, rows, left=len(columns)))
    shown = set()
    for f in findings:
        if f.witness is not None and str(f.witness) not in shown:
            shown.add(str(f.witness))
            say(*_in_words(f))


def _in_words(finding: Finding) -> list[str]:
    w, c = finding.witness, finding.config
    assert w is not None
    who = ", ".join(f"MM {mm} {pages}" for mm, pages in w.mappings.items())
    sides = "; ".join(f"{left} = {right}" for left, right in w.sides)
    return [
        "",
        f"{c.scheme}, order {c.order}: MM {w.mm} asks. Pages mapped: {who}: {w.mapcount} in all, of {c.pages}.",
        f"Both sides, per value, modulo 2^{c.word_bits}: {sides}",
        *finding.replays,
    ]


def _show_rows(rows: list[dict[str, object]], as_json: bool) -> None:
    if as_json:
        emit_json(rows)
        return
    columns = [name.replace("_", " ") for name in rows[0]]
    cells = [["-" if v is None else v for v in row.values()] for row in rows]
    show(table("64-bit words, per order", columns, cells))
