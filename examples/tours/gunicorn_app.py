"""A WSGI application with a heap that is loaded before workers are forked. For prefork.py."""

import gc
import os

HEAP = [{"number": number, "name": str(number)} for number in range(100_000)]
if os.environ.get("FREEZE"):
    gc.collect()
    gc.freeze()


def app(_environ, start_response):  # type: ignore[no-untyped-def]
    """Each request ends with what the interpreter does sooner or later: a full collection."""
    gc.collect()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()}\n".encode()]
