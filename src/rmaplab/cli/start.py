"""Where the shell's `rmaplab` begins: an interrupt finds its handler before anything else is imported.

`scripts/rmaplab` starts this with SIGINT blocked, so that one that comes while the interpreter loads its own modules is
answered here as well. Only modules that are part of the interpreter are loaded: `signal` and `os` take longer to import
than all of this.
"""

import _signal  # type: ignore[import-not-found]  # part of the interpreter; typeshed has only signal

from rmaplab.cli.ending import end


def main() -> None:
    """Entry point of the console script; `rmaplab.cli.app.main` with its imports covered."""
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, end)
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, [_signal.SIGINT])
    from rmaplab.cli import app  # noqa: PLC0415  (after the handler that stands for its import)

    app.main()
