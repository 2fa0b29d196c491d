"""The application: every command as a line, one of them loaded.

For `rmaplab.cli.app`, which is what the shell starts.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Final

import typer

from rmaplab import __version__
from rmaplab.cli.commands import COMMANDS

_BOXES: Final = 60
"""Columns from which on the help text comes in boxes; in less room these cut the options' names."""


def build(wanted: str | None, *, every: bool = False) -> typer.Typer:
    """The application with the command `wanted` (or `every` one) loaded and the others as lines in the help text."""
    app = typer.Typer(
        name="rmaplab",
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
        add_completion=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich" if shutil.get_terminal_size().columns >= _BOXES else None,
    )
    app.callback(help="Is this memory mapped by one process or by many?")(_root)
    for name, line in COMMANDS.items():
        loaded = _load(name) if every or name == wanted else _unloaded
        if isinstance(loaded, typer.Typer):
            app.add_typer(loaded, name=name, short_help=line)
        else:
            app.command(name, short_help=line)(loaded)
    return app


def _load(name: str) -> Callable[..., Any] | typer.Typer:
    word = name.replace("-", "_")
    with _one_blas_thread():
        command: Callable[..., Any] | typer.Typer = getattr(import_module(f"rmaplab.cli.{word}"), word)
    return command


@contextmanager
def _one_blas_thread() -> Iterator[None]:
    """NumPy loaded in here starts no thread per CPU for a BLAS that nothing needs; programs run later are not told."""
    wish = os.environ.get("OPENBLAS_NUM_THREADS")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        yield
    finally:
        if wish is None:
            del os.environ["OPENBLAS_NUM_THREADS"]


def _unloaded() -> None:
    """Stands for a command that was not asked for."""


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rmaplab {__version__}")
        raise typer.Exit


def _show_manual(wanted: bool) -> None:
    if wanted:
        typer.echo(import_module("rmaplab.cli.manual").page(), nl=False)
        raise typer.Exit


def _root(
    version: bool = typer.Option(
        False, "--version", help="Show the version and exit.", callback=_show_version, is_eager=True
    ),
    man: bool = typer.Option(
        False,
        "--man",
        help="Print the manual page (for man -l -) and exit.",
        callback=_show_manual,
        is_eager=True,
    ),
) -> None:
    """Holds the options of `rmaplab` itself."""
