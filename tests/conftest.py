"""Makes `tests/` importable for shared strategies, sets Hypothesis up for machines of any speed, and lets interrupts in.

Holds for the whole suite: no command prints a traceback (`hook/sitecustomize.py` sees what every Python prints).

A shell that starts the tests in the background has them ignore SIGINT, nohup has them ignore SIGHUP, and so every command
that a test starts.
"""

import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from commands import see_tracebacks, tracebacks

settings.register_profile("rmaplab", deadline=None, max_examples=40, print_blob=True)
settings.load_profile("rmaplab")

for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, handler)

see_tracebacks()


@pytest.fixture(autouse=True)
def no_command_prints_a_traceback() -> Iterator[None]:
    """Whatever a test does with `rmaplab`, its user reads a line and no traceback."""
    yield
    assert tracebacks() == []
