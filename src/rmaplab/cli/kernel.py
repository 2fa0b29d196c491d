"""`rmaplab kernel`: kernels other than the running one, patched, built, booted and tested."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from rmaplab.cli import options
from rmaplab.cli.exits import FINDING
from rmaplab.cli.kernel_patch import kernel_patch
from rmaplab.errors import RmaplabError
from rmaplab.kernels import bench as pricing
from rmaplab.kernels import cache, cow, obtain
from rmaplab.kernels.build import build as build_tree
from rmaplab.kernels.build import tree
from rmaplab.kernels.entries import KERNELS, Wish, parse
from rmaplab.kernels.guest import Guest, GuestError, Sink
from rmaplab.kernels.qemu import Hardware
from rmaplab.machine.lab import trial
from rmaplab.report.console import emit_json, note, stdout
from rmaplab.report.cow import cow_table
from rmaplab.report.kernel_bench import bench_table

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
    memory: Annotated[int, typer.Option(parser=options.count(256, 1 << 20), help="MiB of the guest.")] = 2048,
    cpus: Annotated[int, typer.Option(parser=options.count(1, 512), help="CPUs of the guest.")] = 1,
    timeout: Annotated[float, typer.Option(parser=options.seconds(1), help="Seconds until the guest is ended.")] = 600.0,
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


@kernel.command()
def build(
    name: Annotated[
        str, typer.Option("--kernel", help="6.12 or 7.3, from Debian's source; or the directory of a kernel tree.")
    ] = "7.3",
    into: Annotated[
        Path | None, typer.Option(help="Where it is built; without, in the lab's directory under ~/.cache.")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="With DEBUG_VM, lockdep, PROVE_RCU and KASAN.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Build a kernel that the lab boots: minimal, out of its tree, which stays as it is.

    A tree that `rmaplab kernel patch` made is built with the schemes.
    """
    wish = parse(name)
    if wish.scheme is not None or wish.debug:
        raise RmaplabError(f"--kernel: {name}: must come without scheme= and debug here (a patched tree, --debug)")
    source = wish.kernel if isinstance(wish.kernel, Path) else tree(wish.kernel)
    options = ["CONFIG_RMAPLAB=y", "CONFIG_RMAPLAB_STATS=y"] if (source / "mm/rmaplab").is_dir() else []
    flavour = f"{source.name}{'-debug' if debug else ''}"
    made = build_tree(source, into or cache.root() / "built" / flavour, debug=debug, options=options)
    if as_json:
        emit_json({"kernel": str(made), "source": str(source), "debug": debug})
    else:
        typer.echo(made)


@kernel.command("test")
def try_out(
    context: typer.Context,
    name: KernelOption = "6.12",
    scheme: SchemeOption = None,
    only: Annotated[str, typer.Option(help="What is tested: cow, differential, or both separated by a comma.")] = "cow",
    orders: Annotated[
        str, typer.Option(help="Orders of the COW table's folios, separated by commas.")
    ] = "2,3,4,5,6,7,8,9",
    mms: Annotated[int, typer.Option(parser=options.count(1, 8), help="MMs of the COW table's largest trees.")] = 8,
    n: Annotated[int, typer.Option("-n", parser=options.count(1), help="Programs of the differential test.")] = 20,
    seed: Annotated[int, typer.Option(parser=options.seed(), help="Seed of the first program.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Test a booted kernel: which survivor of a fork tree reuses its memory, and does it behave as the model says?

    Exit code 1 if a kernel with a scheme answers otherwise than the scheme's Python twin, after a mismatch, or a splat.
    """
    parts = _words("--only", only, ("cow", "differential"))
    sizes = [int(word) for word in _words("--orders", orders, [str(order) for order in cow.ORDERS])]
    if "cow" not in parts:
        options.refuse(context, "--only differential", "orders", "mms")
    if "differential" not in parts:
        options.refuse(context, "--only cow", "n", "seed")
    wish = _wish(name, scheme)
    boots = obtain.bootable(wish)
    rows: list[trial.Judged] = []
    numbers: dict[str, Any] = {}
    found: list[str] = []
    if "cow" in parts:
        filled = cow.table(boots, mms, sizes)
        rows, found = trial.judged(filled.rows, wish.scheme), filled.ended.splats
        for order in filled.without:
            note(f"{boots.image.title}: gives no folios of order {order}")
    if "differential" in parts:
        numbers = trial.differential(boots, trial.policy(wish), n, seed)
        found += numbers.pop("splats")
    if as_json:
        tested = {"kernel": boots.image.title, "scheme": wish.scheme, "cow_table": [row.to_dict() for row in rows]}
        emit_json({**tested, "differential": numbers, "selftests": {}, "splats": found})
    else:
        stdout().print(cow_table(boots.image.title, wish.scheme, rows))
        if numbers:
            typer.echo(", ".join(f"{key} {value}" for key, value in numbers.items()))
        for splat in found:
            typer.echo(f"the kernel: {splat}")
    differs = wish.scheme not in (None, "off") and any(row.avoidable_pages for row in rows)
    if differs or any(row.beyond_twin for row in rows) or numbers.get("mismatches") or found:
        raise typer.Exit(FINDING)


@kernel.command()
def bench(
    name: KernelOption = "7.3",
    scheme: Annotated[
        str | None,
        typer.Option("--scheme", help="Schemes to boot with, separated by commas; without, the kernel as it is."),
    ] = None,
    orders: Annotated[str, typer.Option(help="Orders of the folios, separated by commas: 0, 2 to 9.")] = "0,4,9",
    repeats: Annotated[
        int, typer.Option(parser=options.count(1, 100), help="How often; the least counts.")
    ] = pricing.REPEATS,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list.")] = False,
) -> None:
    """Count what the series' operations cost a kernel: instructions, and how many of them lock, beside its own rule.

    The guest's clock is the number of its instructions. Each scheme is one boot of about a minute.
    """
    sizes = [int(word) for word in _words("--orders", orders, ("0", *(str(order) for order in cow.ORDERS)))]
    wishes = [_wish(name, word) for word in (scheme.split(",") if scheme else [None])]
    costs = [cost for wish in wishes for cost in pricing.measure(obtain.bootable(wish), wish.scheme, sizes, repeats)]
    compared = pricing.compare(costs)
    if as_json:
        emit_json([one.to_dict() for one in compared])
    else:
        stdout().print(bench_table(compared))


def _words(option: str, text: str, known: Sequence[str]) -> list[str]:
    words = text.split(",")
    for word in words:
        if word not in known:
            raise RmaplabError(f"{option}: {word!r}: must be of {', '.join(known)}")
    return words


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
