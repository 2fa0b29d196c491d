"""The counters of a watch for a monitoring system: OpenMetrics text, over HTTP or as a file.

For `rmaplab watch --listen` and `--textfile`. Labels are bounded: processes count under their name, the first 100 names
have one of their own, all others are "other". Counters never go down. Format: OpenMetrics 1.0.0.
"""

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from rmaplab.errors import NotAvailable, RmaplabError
from rmaplab.text import for_terminal
from rmaplab.watch.answer import totals
from rmaplab.watch.ledger import Counts

CONTENT: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_FAMILIES: Final = (
    ("rmaplab_cow_faults", "counter", "Copy-on-write faults, by outcome.", ("copied", "reused", "skipped")),
    ("rmaplab_cow_needless_copies", "counter", "Copies of folios that only their process mapped.", ("needless",)),
    ("rmaplab_cow_copied_bytes", "counter", "Bytes copied.", ("bytes",)),
    ("rmaplab_cow_copy_seconds", "counter", "Time in faults that copied.", ("copy_seconds",)),
)


def text(by_name: dict[str, Counts], found: dict[str, Any]) -> str:
    """One exposition. `found`: the line of the watch."""
    labels: dict[str, Counts] = {}
    for name, counts in sorted(by_name.items()):  # two names may look alike: a sample must not stand there twice
        label = _label(name)
        labels[label] = labels[label] + counts if label in labels else counts
    rows = {label: totals(counts) for label, counts in labels.items()}
    lines = []
    for family, kind, help_text, keys in _FAMILIES:
        lines += [f"# TYPE {family} {kind}", f"# HELP {family} {help_text}"]
        for label, row in rows.items():
            for key in keys:
                outcome = f',outcome="{key}"' if len(keys) > 1 else ""
                lines.append(f'{family}_total{{name="{label}"{outcome}}} {row[key]}')
    for gauge, help_text, value in (
        ("rmaplab_watch_processes", "Processes watched now.", found["alive"]),
        (
            "rmaplab_watch_exact",
            "1 while nothing was lost or skipped.",
            int(not found["lost"] and not found["blind_seconds"]),
        ),
    ):
        lines += [f"# TYPE {gauge} gauge", f"# HELP {gauge} {help_text}", f"{gauge} {value}"]
    for counter, help_text, value in (
        ("rmaplab_watch_lost_faults", "Faults whose outcome is not known.", found["lost"]),
        ("rmaplab_watch_blind_seconds", "Time in which the budget was spent.", found["blind_seconds"]),
    ):
        lines += [f"# TYPE {counter} counter", f"# HELP {counter} {help_text}", f"{counter}_total {value}"]
    return "\n".join([*lines, "# EOF", ""])


def _label(name: str) -> str:
    """A label's value: visible characters, quotes and backslashes escaped."""
    return for_terminal(name).replace("\\", "\\\\").replace('"', '\\"')


def address(value: str) -> tuple[str, int]:
    """HOST:PORT, or [HOST]:PORT of IPv6. Raises RmaplabError."""
    found = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([^:\[\]\s]+)):([0-9]{1,5})", value, re.ASCII)
    if found is None or int(found[3]) > 65535:
        raise RmaplabError(f"--listen {value[:60]}: must be HOST:PORT, the port 0 .. 65535")
    return found[1] or found[2], int(found[3])


class Server:
    """Answers GET /metrics with the latest `text`. A thread of its own, until `close`."""

    def __init__(self, host: str, port: int) -> None:
        self.text = "# EOF\n"
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = server.text.encode() if self.path == "/metrics" else b""
                self.send_response(200 if body else 404)
                self.send_header("Content-Type", CONTENT)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Nothing: stderr is the command's."""

        try:
            self._http = ThreadingHTTPServer((host, port), Handler)
        except OSError as error:
            raise NotAvailable(f"--listen {host}:{port}: {error.strerror or error}") from error
        self.port = int(self._http.server_address[1])
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()
