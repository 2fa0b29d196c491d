"""`rmaplab kernel boot`: another kernel, for one command or to sit in."""

import os
import shlex
import sys
from typing import Annotated, Final, TextIO

import typer

from rmaplab.cli import options
from rmaplab.cli.exits import FINDING
from rmaplab.cli.kernel_words import KernelOption, SchemeOption, wish
from rmaplab.errors import RmaplabError
from rmaplab.kernels import obtain
from rmaplab.kernels.guest import Ended, Guest, GuestError, Sink
from rmaplab.kernels.obtain import Bootable
from rmaplab.kernels.qemu import Hardware
from rmaplab.report.console import emit_json, note

_PATIENCE: Final = 600.0
_LAST_WORDS: Final = 60.0
"""Seconds a guest may take to say how its shell ended, once that wrote its last."""


def kernel_boot(
    context: typer.Context,
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[-- COMMAND...]", help="What runs in the guest, in this directory.")
    ] = None,
    name: KernelOption = "6.12",
    scheme: SchemeOption = None,
    shell: Annotated[
        bool, typer.Option("--shell", help="Sit in it: a shell, or COMMAND, on this terminal. Ctrl-] ends the guest.")
    ] = False,
    memory: Annotated[int, typer.Option(parser=options.count(256, 1 << 20), help="MiB of the guest.")] = 2048,
    cpus: Annotated[int, typer.Option(parser=options.count(1, 512), help="CPUs of the guest.")] = 1,
    timeout: Annotated[
        float, typer.Option(parser=options.seconds(1), help="Seconds until the guest is ended.")
    ] = _PATIENCE,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Boot a kernel in QEMU and run a command in it, with this system's files (what it writes is lost).

    Exit code: the command's. Without a command it says which kernel booted.
    """
    if shell:
        options.refuse(context, "--shell", "as_json", "timeout")
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise RmaplabError("--shell: standard input and output must be a terminal")
    boots, hardware = obtain.bootable(wish(name, scheme)), Hardware(memory=memory, cpus=cpus)
    try:
        ended, accelerator = _sat(boots, command, hardware) if shell else _ran(boots, command, hardware, timeout, as_json)
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
                "accelerator": accelerator,
                "status": ended.status,
                "seconds": round(ended.seconds, 1),
                "stdout": ended.out.decode(errors="replace"),
                "stderr": ended.err.decode(errors="replace"),
                "splats": ended.splats,
            }
        )
    if ended.status:
        raise typer.Exit(ended.status)


def _ran(
    boots: Bootable, command: list[str] | None, hardware: Hardware, timeout: float, as_json: bool
) -> tuple[Ended, str | None]:
    out, err = (None, None) if as_json else (_passed(sys.stdout), _passed(sys.stderr))
    script = shlex.join(command or ["uname", "-srvm"])
    with Guest(boots.image, script, hardware, boots.append, out=out, err=err) as guest:
        return guest.wait(timeout), guest.accelerator


def _sat(boots: Bootable, command: list[str] | None, hardware: Hardware) -> tuple[Ended, str | None]:
    """The command's own end, or, if somebody left it with Ctrl-], an end without fault."""
    script = shlex.join(command or [os.environ.get("SHELL", "/bin/sh")])
    asked = f", asked for {boots.append}" if boots.append else ""
    note(f"booting {boots.image.title}{asked}; Ctrl-] ends it, what is written is lost")
    keys = sys.stdin.fileno()
    with Guest(boots.image, script, hardware, boots.append, window=os.get_terminal_size(keys)) as guest:
        if guest.join(keys, sys.stdout.buffer):
            return guest.wait(_LAST_WORDS), guest.accelerator
        return Ended(0, 0.0, guest.console), guest.accelerator


def _passed(stream: TextIO) -> Sink:
    """Writes what the guest writes to `stream` at once."""

    def write(data: bytes) -> None:
        stream.buffer.write(data)
        stream.flush()

    return write
