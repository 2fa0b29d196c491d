"""The `rmaplab` command: knows which commands exist, and imports only the one that is asked for.

For the shell. A command `do-this` is the function `do_this` of the module `rmaplab.cli.do_this`,
or the group of commands of that name. Loading NumPy, Polars
and the rest costs more than users' patience with `--help`, so the other commands are listed by their line here.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final

import typer

from rmaplab import __version__
from rmaplab.cli.exits import INTERRUPTED, reporting

COMMANDS: Final = MappingProxyType(
    {
        "demo": "See on this kernel which schemes are right, which are wrong, and what that costs.",
        "run": "Run a scenario, replay it through the schemes, and judge them.",
        "scenarios": "List the scenarios.",
        "schemes": "List the schemes: what they keep, claim and answer.",
        "capacity": "Values, ID bits, bytes and atomic operations per scheme and order.",
        "refute": "Decide whether a configuration of a linear scheme can be wrong.",
        "inspect": "Who maps this machine's memory, exclusively or shared, exactly.",
        "record": "Record a running system's mappings into a trace.",
        "race": "Every execution of the C core's locking under seven memory models, and the smallest bad one.",
        "stress": "Race the C core's schemes, and judge every answer afterwards.",
        "bench": "Measure the C core's schemes against each other.",
        "kernel": "Kernels other than the running one: patched, built, booted, tested.",
        "differential": "Hold the model against the running kernel with random programs.",
    }
)


def build(wanted: str | None) -> typer.Typer:
    """The application with the command `wanted` loaded and the others as lines in the help text."""
    app = typer.Typer(
        name="rmaplab",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback(help="Is this memory mapped by one process or by many?")(_root)
    for name, line in COMMANDS.items():
        loaded = _load(name) if name == wanted else _unloaded
        if isinstance(loaded, typer.Typer):
            app.add_typer(loaded, name=name, short_help=line)
        else:
            app.command(name, short_help=line)(loaded)
    return app


def main() -> None:
    """Entry point. Exit codes: 0 fine, 1 a finding, 2 usage, 3 not permitted or not available."""
    wanted = next((word for word in sys.argv[1:] if word in COMMANDS), None)
    with reporting():
        code = build(wanted)(standalone_mode=False)
        if code == INTERRUPTED:
            raise KeyboardInterrupt
    sys.exit(code)


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


def _root(
    version: bool = typer.Option(
        False, "--version", help="Show the version and exit.", callback=_show_version, is_eager=True
    ),
) -> None:
    """Holds the options of `rmaplab` itself."""
