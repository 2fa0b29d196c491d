"""What the `rmaplab kernel` commands share: which kernel is meant, and lists of words.

For them alone.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import typer

from rmaplab.errors import RmaplabError
from rmaplab.kernels.entries import KERNELS, Wish, parse

KernelOption = Annotated[
    str,
    typer.Option(
        "--kernel",
        help=f"{', '.join(KERNELS)} (7.3,flavour=one: built here), or a directory with a kernel.",
    ),
]
SchemeOption = Annotated[
    str | None,
    typer.Option("--scheme", help="The kernel patched, built and booted with this scheme; without, Debian's own."),
]


def words(option: str, text: str, known: Sequence[str]) -> list[str]:
    """The words of a list with commas, all of `known`. Raises RmaplabError."""
    found = text.split(",")
    for word in found:
        if word not in known:
            raise RmaplabError(f"{option}: {word!r}: must be of {', '.join(known)}")
    return found


def wish(name: str, scheme: str | None) -> Wish:
    """What `--kernel` and `--scheme` ask for together. Raises RmaplabError."""
    wanted = parse(name)
    if scheme is not None and wanted.scheme not in (None, scheme):
        raise RmaplabError(f"--scheme: {scheme}: --kernel asks for {wanted.scheme}")
    return replace(wanted, scheme=scheme or wanted.scheme)
