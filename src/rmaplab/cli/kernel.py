"""`rmaplab kernel`: kernels other than the running one, patched, built, booted and tested."""

from pathlib import Path
from typing import Annotated

import typer

from rmaplab.cli.kernel_bench import kernel_bench
from rmaplab.cli.kernel_boot import kernel_boot
from rmaplab.cli.kernel_features import kernel_features
from rmaplab.cli.kernel_patch import kernel_patch
from rmaplab.cli.kernel_test import kernel_test
from rmaplab.errors import RmaplabError
from rmaplab.kernels import cache
from rmaplab.kernels.assemble import assembled, patched
from rmaplab.kernels.build import build as build_tree
from rmaplab.kernels.build import default_flavour, suffix, tree
from rmaplab.kernels.entries import EXTRAS, FLAVOURS, check_extras, parse
from rmaplab.report.console import emit_json

kernel = typer.Typer(no_args_is_help=True, help="Kernels other than the running one: patched, built, booted, tested.")
kernel.command("patch")(kernel_patch)
kernel.command("features")(kernel_features)
kernel.command("boot")(kernel_boot)


@kernel.command()
def build(
    name: Annotated[
        str, typer.Option("--kernel", help="6.12 or 7.3, from Debian's source; or the directory of a kernel tree.")
    ] = "7.3",
    flavour: Annotated[
        str | None,
        typer.Option(
            help="shipped (unpatched), many (schemes, chosen at boot), stats (many, answers counted) or one "
            "(moments-flag compiled in). Without: many for a patched tree, shipped for another."
        ),
    ] = None,
    into: Annotated[
        Path | None, typer.Option(help="Where it is built; without, in the lab's directory under ~/.cache.")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help=f"With {EXTRAS['debug']}.")] = False,
    races: Annotated[bool, typer.Option("--races", help=f"With {EXTRAS['races']}.")] = False,
    bare: Annotated[bool, typer.Option("--bare", help=f"With {EXTRAS['bare']}.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Build a kernel that the lab boots: minimal, out of its tree, which stays as it is.

    A kernel by name is patched for the flavours with schemes; a directory must have been (`rmaplab kernel patch`).
    """
    wanted = parse(name)
    if wanted.scheme is not None or wanted.extras or wanted.flavour is not None:
        raise RmaplabError(f"--kernel: {name}: must come without options here (--flavour, --debug, --races, --bare)")
    if flavour not in (None, *FLAVOURS):
        raise RmaplabError(f"--flavour: {flavour}: must be one of {', '.join(FLAVOURS)}")
    extras = frozenset(name for name, asked in (("bare", bare), ("debug", debug), ("races", races)) if asked)
    check_extras(extras)
    if isinstance(wanted.kernel, Path):
        source = wanted.kernel
        flavour = flavour or default_flavour(source)
    else:
        flavour = flavour or "shipped"
        if into is None:
            _print_built(assembled(wanted.kernel, flavour, extras), flavour, extras, as_json)
            return
        source = tree(wanted.kernel) if flavour == "shipped" else patched(wanted.kernel)
    place = cache.root() / "built" / f"{source.name}-{flavour}{suffix(extras)}"
    _print_built(build_tree(source, into or place, flavour, extras), flavour, extras, as_json)


def _print_built(made: Path, flavour: str, extras: frozenset[str], as_json: bool) -> None:
    if as_json:
        emit_json({"kernel": str(made), "flavour": flavour, "extras": sorted(extras)})
    else:
        typer.echo(made)


kernel.command("test")(kernel_test)
kernel.command("bench")(kernel_bench)
