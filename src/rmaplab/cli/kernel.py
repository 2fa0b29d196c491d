"""`rmaplab kernel`: kernels other than the running one, patched, built, booted and tested."""

import shlex
import sys
from typing import Annotated, TextIO

import typer

from rmaplab.cli.exits import FINDING
from rmaplab.cli.kernel_patch import kernel_patch
from rmaplab.errors import RmaplabError
from rmaplab.kernels import obtain
from rmaplab.kernels.entries import KERNELS, Wish, parse
from rmaplab.kernels.guest import Guest, GuestError, Sink
from rmaplab.kernels.qemu import Hardware
from rmaplab.report.console import emit_json, note

kernel = typer.Typer(no_args_is_help=True, help="Kernels other than the running one: patched, built, booted, tested.")
kernel.command("patch")(kernel_patch)

KernelOption = Annotated[str, typer.Option("--kernel", help=f"{', '.join(KERNELS)}, or a directory with a kernel.")]
SchemeOption = Annotated[
    str | None, typer.Option("--scheme", help="Boot the patched kernel with this scheme; without, Debian's own.")
]


@kernel.command()
def boot(
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[-- COMMAND...]", help="What runs in the guest, in this directory.")
    ] = None,
    name: KernelOption = "6.12",
    scheme: SchemeOption = None,
    memory: Annotated[int, typer.Option(min=256, help="MiB of the guest.")] = 2048,
    cpus: Annotated[int, typer.Option(min=1, help="CPUs of the guest.")] = 1,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds until the guest is ended.")] = 600.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Boot a kernel in QEMU and run a command in it, with this system's files (what it writes is lost).

    Exit code: the command's. Without a command it says which kernel booted.
    """
    boots = obtain.bootable(_wish(name, scheme))
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


def _wish(name: str, scheme: str | None) -> Wish:
    wish = parse(name)
    if scheme is not None and wish.scheme not in (None, scheme):
        raise RmaplabError(f"--scheme: {scheme}: --kernel asks for {wish.scheme}")
    return Wish(wish.kernel, scheme or wish.scheme, wish.debug)


def _passed(stream: TextIO) -> Sink:
    """Writes what the guest writes to `stream` at once."""

    def write(data: bytes) -> None:
        stream.buffer.write(data)
        stream.flush()

    return write
