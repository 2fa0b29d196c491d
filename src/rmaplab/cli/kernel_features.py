"""`rmaplab kernel features`: what of this tool works on which kernel, tried in a guest of each."""

from typing import Annotated

import typer

from rmaplab.cli.kernel_words import wish, words
from rmaplab.kernels import obtain
from rmaplab.kernels.entries import KERNELS
from rmaplab.report.console import emit_json, note, say
from rmaplab.report.features import matrix
from rmaplab.trials import trial


def kernel_features(
    kernels: Annotated[str, typer.Option("--kernel", help="Kernels, separated by commas.")] = ",".join(KERNELS),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Boot each kernel and try there what this tool does: works, estimate or not there, and why.

    The table is Markdown: docs/kernels.md has it as this command prints it.
    """
    found = {}
    for name in words("--kernel", kernels, list(KERNELS)):
        boots = obtain.bootable(wish(name, None))
        note(f"{boots.image.title}: trying what there is")
        found[boots.image.title] = trial.features(boots)
    if as_json:
        emit_json({title: [feature.to_dict() for feature in features] for title, features in found.items()})
    else:
        say(*matrix(found))
