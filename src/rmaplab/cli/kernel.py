"""`rmaplab kernel`: kernels other than the running one, patched, built, booted and tested."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, TextIO

import typer

from rmaplab.cli import options
from rmaplab.cli.exits import FINDING
from rmaplab.cli.kernel_bench import kernel_bench
from rmaplab.cli.kernel_features import kernel_features
from rmaplab.cli.kernel_patch import kernel_patch
from rmaplab.cli.kernel_test import kernel_test
from rmaplab.cli.kernel_words import KernelOption, SchemeOption, wish
from rmaplab.errors import RmaplabError
from rmaplab.kernels import cache, obtain
from rmaplab.kernels.assemble import assembled, patched
from rmaplab.kernels.build import build as build_tree
from rmaplab.kernels.build import default_flavour, suffix, tree
from rmaplab.kernels.entries import EXTRAS, FLAVOURS, check_extras, parse
from rmaplab.kernels.guest import Guest, GuestError, Sink
from rmaplab.kernels.qemu import Hardware
from rmaplab.report.console import emit_json, note

kernel = typer.Typer(no_args_is_help=True, help="Kernels other than the running one: patched, built, booted, tested.")
kernel.command("patch")(kernel_patch)
kernel.command("features")(kernel_features)


@kernel.command()
def boot(
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[-- COMMAND...]", help="What runs in the guest, in this directory.")
    ] = None,
    name: KernelOption = "6.12",
    scheme: SchemeOption = None,
    memory: Annotated[int, typer.Option(parser=options.count(256, 1 << 20), help="MiB of the guest.")] = 2048,
    cpus: Annotated[int, typer.Option(parser=options.count(1, 512), help="CPUs of the guest.")] = 1,
    timeout: Annotated[float, typer.Option(parser=options.seconds(1), help="Seconds until the guest is ended.")] = 600.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Boot a kernel in QEMU and run a command in it, with this system's files (what it writes is lost).

    Exit code: the command's. Without a command it says which kernel booted.
    """
    boots = obtain.bootable(wish(name, scheme))
    script = shlex.join(command or ["uname", "-srvm"])
    live = not as_json
    try:
        with Guest(
            boots.image,
            script,
            Hardware(memory=memory, cpus=cpus),
            boots.append,
            out=_passed(sys.stdout) if live else None,
            err=_passed(sys.stderr) if live else None,
        ) as guest:
            ended = guest.wait(timeout)
    except GuestError as error:
        note(f"rmaplab: {error}")
        raise typer.Exit(FINDING) from error
    for splat in ended.splats:
        note(f"the kernel: {splat}")
    if as_json:
        emit_json(
            {
                "kernel": boots.image.title,
                "scheme": scheme,
                "accelerator": guest.accelerator,
                "status": ended.status,
                "seconds": round(ended.seconds, 1),
                "stdout": ended.out.decode(errors="replace"),
                "stderr": ended.err.decode(errors="replace"),
                "splats": ended.splats,
            }
        )
    if ended.status:
        raise typer.Exit(ended.status)


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


def _passed(stream: TextIO) -> Sink:
    """Writes what the guest writes to `stream` at once."""

    def write(data: bytes) -> None:
        stream.buffer.write(data)
        stream.flush()

    return write
