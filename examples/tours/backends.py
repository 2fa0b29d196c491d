"""PostgreSQL: what a connection costs in copied memory. Its backend is a fork of the server.

Before: twenty queries, each over a connection of its own. After: the same over one connection, as a pool does it.
`python backends.py` (root; needs PostgreSQL's server, which then runs as the user nobody).
"""

import glob
import os
import shutil
import subprocess
import sys
import tempfile

from touring import answer, copied, watched, where, workers

QUERIES = 20
QUERY = "select count(*) from pg_class;"


def program(name: str) -> str:
    found = shutil.which(name) or max(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), default="")
    if not found:
        sys.exit(3)
    return found


def work(kind: str, folder: str) -> None:
    """What is watched: server, queries, end. Runs as nobody: PostgreSQL refuses root."""
    control, client = program("pg_ctl"), program("psql")
    data = os.path.join(folder, "data")
    settings = f"-k {folder} -c listen_addresses= -c autovacuum=off"
    subprocess.run([control, "-s", "-w", "-D", data, "-o", settings, "-l", os.devnull, "start"], check=True)
    connect = [client, "-h", folder, "-qAt", "postgres"]
    try:
        for _ in range(QUERIES if kind == "each" else 1):
            text = QUERY * (1 if kind == "each" else QUERIES)
            subprocess.run(connect, input=text, text=True, stdout=subprocess.DEVNULL, check=True)
    finally:
        subprocess.run([control, "-s", "-w", "-m", "fast", "-D", data, "stop"], check=True)


def tour() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        made = [program("initdb"), "-D", os.path.join(folder, "data"), "-A", "trust", "-N", "-U", "nobody"]
        subprocess.run([*user, *made], check=True, stdout=subprocess.DEVNULL)
        before, after = (watched(*user, sys.executable, __file__, "work", kind, folder) for kind in ("each", "one"))
    answer(
        "What does a PostgreSQL connection cost in memory that is copied?",
        [
            f"each backend writes to pages it has from the server: {where(before)}",
            "change: a connection pool",
        ],
        copied(workers(before, "postgres")),
        copied(workers(after, "postgres")),
    )


if __name__ == "__main__":
    work(sys.argv[2], sys.argv[3]) if sys.argv[1:2] == ["work"] else tour()
