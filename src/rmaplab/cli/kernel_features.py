"""`rmaplab kernel features`: what of this tool works on which kernel, tried here and in a guest of each."""

import platform
from typing import Annotated, Final

import typer

from rmaplab.cli.kernel_words import wish, words
from rmaplab.kernels import obtain
from rmaplab.kernels.entries import KERNELS
from rmaplab.report.console import emit_json, note, say
from rmaplab.report.features import matrix
from rmaplab.trials import trial
from rmaplab.trials.features import Feature, tried

_HERE: Final = "here"
"""The kernel that runs, which nobody need boot."""
_ALL: Final = (_HERE, *KERNELS)


def kernel_features(
    kernels: Annotated[str, typer.Option("--kernel", help="Kernels, by commas; here: the one that runs.")] = ",".join(
        _ALL
    ),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Try on each kernel what this tool does, here and in guests: works, estimate or not there, and why.

    The table is Markdown: docs/kernels.md has it as this command prints it.
    """
    found = dict(_tried(name) for name in words("--kernel", kernels, _ALL))
    if as_json:
        emit_json({title: [feature.to_dict() for feature in features] for title, features in found.items()})
    else:
        say(*matrix(found))


def _tried(name: str) -> tuple[str, list[Feature]]:
    """What a column is called, and what it says."""
    boots = obtain.bootable(wish(name, None)) if name != _HERE else None
    title = boots.image.title if boots else f"{platform.release()}, {_HERE}"
    note(f"{title}: trying what there is")
    return title, trial.features(boots) if boots else tried()
