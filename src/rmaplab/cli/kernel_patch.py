"""`rmaplab kernel patch`: an unmodified Linux tree in, the same tree with the schemes inside out."""

from pathlib import Path
from typing import Annotated, Any

import typer

from rmaplab.errors import RmaplabError
from rmaplab.kernels.patch import Patch, apply_in_place, apply_into, plan
from rmaplab.report.console import emit_json, note, say


def kernel_patch(
    tree: Annotated[Path, typer.Argument(metavar="TREE", help="An unmodified Linux source tree.")],
    into: Annotated[Path | None, typer.Option(help="Copy the tree to this new directory, and patch the copy.")] = None,
    in_place: Annotated[bool, typer.Option("--in-place", help="Patch the tree itself.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Put the schemes into a Linux tree: which rule matched where, and with --into or --in-place the patched tree.

    Without either it only says what would be done, and changes nothing.
    """
    if into is not None and in_place:
        raise RmaplabError("--into, --in-place: both given: must be one of them")
    patch = plan(tree, note)
    done = tree if patch.already else None
    if not patch.already and in_place:
        apply_in_place(patch)
        done = tree
    elif into is not None:
        apply_into(patch, into)
        done = into
    if as_json:
        emit_json(_row(patch, done))
    else:
        _print(patch, done)


def _row(patch: Patch, done: Path | None) -> dict[str, Any]:
    return {
        "tree": str(patch.tree),
        "kind": patch.kind,
        "already": patch.already,
        "patched": None if done is None else str(done),
        "rules": [
            {"rule": match.rule, "file": match.file, "line": match.line, "function": match.function}
            for match in patch.matches
        ],
        "files": sorted(patch.files),
    }


def _print(patch: Patch, done: Path | None) -> None:
    kind = {"guess": "guesses from mapcounts", "slots": "tracks two MMs in slots"}[patch.kind]
    say(f"{patch.tree}: {kind}")
    for match in patch.matches:
        where = f"  {match.function}()" if match.function else ""
        say(f"  {match.rule:22} {match.file}:{match.line}{where}")
    if patch.already:
        say("already patched; nothing changed")
    elif done is None:
        say(f"{len(patch.matches)} matches, as many as there must be; nothing changed (--into DIR, --in-place)")
    else:
        say(f"{len(patch.matches)} matches, as many as there must be; patched: {done}")
