"""Makes `tests/` importable for shared strategies, sets Hypothesis up for machines of any speed, and lets interrupts in.

A shell that starts the tests in the background has them ignore SIGINT, and so every command that a test starts.
"""

import signal

from hypothesis import settings

settings.register_profile("rmaplab", deadline=None, max_examples=40, print_blob=True)
settings.load_profile("rmaplab")

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
