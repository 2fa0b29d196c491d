"""`rmaplab fleet`: a small summary of each host, and what any number of them say together."""

import platform
from pathlib import Path
from typing import Annotated, Literal

import typer

from rmaplab.cli import options
from rmaplab.errors import RmaplabError
from rmaplab.fleet import Hashed, answer, store, summarise
from rmaplab.fleet.store import checked_host
from rmaplab.inspect.look import look
from rmaplab.inspect.probes import probe
from rmaplab.inspect.snapshot import everybody
from rmaplab.report.console import emit_json, note, show
from rmaplab.report.fleet import metrics, page, tables
from rmaplab.system.files import check_place, write_file

fleet = typer.Typer(no_args_is_help=True, help="Many hosts' memory: who copies for nothing, and where to look.")


@fleet.command()
def collect(
    directory: Annotated[Path, typer.Argument(help="Where the fleet's summaries are: this one is added.")],
    host: Annotated[str | None, typer.Option(help="This host's name; by default its own.")] = None,
    hash_names: Annotated[
        Path | None,
        typer.Option(metavar="KEYFILE", help="Hash names and cgroups, and the host's, with the key in this file."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object about the summary.")] = False,
) -> None:
    """Add a summary of this host's memory: by program, cgroup, age, kind and order. Needs root.

    It has no PFN, no PID and no command line, and at most 100 KB.
    """
    hashed = None if hash_names is None else Hashed(_key(hash_names))
    name = host if host is not None else platform.node()
    name = checked_host(hashed(name) if hashed else name)
    view = probe()
    try:
        found = look(everybody, view)
    finally:
        view.close()
    summary = summarise(found, hashed)
    path = store(summary, directory, name)
    if as_json:
        size, memory = path.stat().st_size, found.exactness
        why = {"exactness": memory.label, "why": memory.why}
        emit_json({"path": str(path), "host": name, "rows": len(summary), "bytes": size, **why})
        return
    note(f"{len(summary)} rows, {path.stat().st_size} bytes ({found.exactness.label}): written to {path}")


@fleet.command()
def report(
    place: Annotated[str, typer.Argument(metavar="DIR|URL", help="Where the summaries are.")],
    by: Annotated[Literal["image", "command", "cgroup"], typer.Option(help="One row per ...")] = "image",
    top: Annotated[int, typer.Option(parser=options.count(1, 100_000), help="Rows of each table.")] = 20,
    html: Annotated[Path | None, typer.Option(help="Write the answer as one self-contained page.")] = None,
    openmetrics: Annotated[Path | None, typer.Option(help="Write the sums as OpenMetrics text.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of tables.")] = False,
) -> None:
    """Who copies for nothing, what a precise kernel would save, how sharing erodes, kernels side by side, outliers."""
    for path in (html, openmetrics):
        if path is not None:
            check_place(path)
    found = answer(place, by, top)
    if html is not None:
        write_file(html, page(found), private=True)
        note(f"page written to {html}")
    if openmetrics is not None:
        write_file(openmetrics, metrics(found))
        note(f"metrics written to {openmetrics}")
    if as_json:
        emit_json(found.to_dict())
    else:
        show(*tables(found))


def _key(path: Path) -> bytes:
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        raise RmaplabError(f"--hash-names: {path}: cannot be read: {error.strerror}") from error
    if len(key) < 16:
        raise RmaplabError(f"--hash-names: {path}: {len(key)} bytes: must be a key of 16 bytes at least")
    return key
