"""gunicorn with --preload: a garbage collection in each worker copies the whole heap they share.

Before: as it comes. After: gc.freeze() once everything is loaded, before workers are forked.
`python prefork.py` (root; needs gunicorn).
"""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time

from touring import answer, copied, watched, where, workers

HERE = os.path.dirname(os.path.abspath(__file__))
WORKERS = 2


def work() -> None:
    """What is watched: the server, a few requests to each worker, and its end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "gunicorn", "--preload", "--workers", str(WORKERS), "--chdir", HERE),
            *("--bind", f"127.0.0.1:{port}", "--log-level", "error", "--no-control-socket", "gunicorn_app:app"),
        ]
    )
    answered: set[bytes] = set()
    deadline = time.monotonic() + 30
    while len(answered) < WORKERS and time.monotonic() < deadline:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", "/")
            answered.add(connection.getresponse().read())
            connection.close()
        except OSError:
            time.sleep(0.1)
    server.send_signal(signal.SIGTERM)
    server.wait()


def tour() -> None:
    before = watched(sys.executable, __file__, "work")
    after = watched(sys.executable, __file__, "work", env={"FREEZE": "1"})
    answer(
        "gunicorn preloads the application: why do its workers not share it?",
        [
            f"a collection writes to every object it looks at, and so does the end of a worker: {where(before)}",
            "change: gc.freeze() after loading, before the fork",
        ],
        copied(workers(before)),
        copied(workers(after)),
    )


if __name__ == "__main__":
    work() if sys.argv[1:2] == ["work"] else tour()
