"""A progress bar on stderr, for commands that measure or race for long."""

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


def progress() -> Progress:
    """A bar that leaves nothing behind; descriptions are text, not markup."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True, markup=False, emoji=False), transient=True)
