"""redis BGSAVE under huge pages: what the snapshot costs while clients write.

Before: writes go to all keys while the child saves. After: the same number of writes goes to a hot hundredth of the keys,
as after moving counters that change all the time to an instance without snapshots.
`python snapshot.py` (root; redis-server).
"""

import os
import subprocess
import sys
import tempfile
import time

from touring import answer, copied, watched, where

KEYS, WRITES = 20_000, 4_000


def ask(path: str, *words: str, text: str | None = None) -> str:
    done = subprocess.run(["redis-cli", "-s", path, *words], input=text, capture_output=True, text=True, check=False)
    return done.stdout


def work(spread: int) -> None:
    """What is watched: a server with data, one snapshot, writes meanwhile to one key in `spread`."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "socket")
        options = {"port": "0", "unixsocket": path, "save": "", "dir": folder, "disable-thp": "no", "daemonize": "no"}
        more = {"rdb-key-save-delay": "100", "appendonly": "no", "loglevel": "warning"}
        words = [word for name, value in (options | more).items() for word in (f"--{name}", value)]
        server = subprocess.Popen(["redis-server", *words], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while "PONG" not in ask(path, "PING") and time.monotonic() < deadline:
            time.sleep(0.05)
        ask(path, text="".join(f"SET key{n} {'x' * 500}\n" for n in range(KEYS)))
        ask(path, "BGSAVE")
        ask(path, text="".join(f"SETRANGE key{n * 7919 * spread % KEYS} 0 y\n" for n in range(WRITES)))
        ask(path, "SHUTDOWN", "NOSAVE")
        server.wait()


def tour() -> None:
    thp = {"MALLOC_CONF": "thp:always"}
    before, after = (watched(sys.executable, __file__, "work", str(spread), env=thp) for spread in (1, 100))
    servers = [
        [one for one in found["processes"] if one["name"] == "redis-server" and one["execs"]] for found in (before, after)
    ]
    answer(
        "How much memory does a redis snapshot cost, and where?",
        [
            f"the server copied each page that a client wrote to while the child was saving: {where(before, 2)}",
            f"of {before['copied']} copies {before['needless']} were for nothing",
            "change: keep keys that change all the time together, or in an instance that makes no snapshots",
        ],
        copied(servers[0]),
        copied(servers[1]),
    )


if __name__ == "__main__":
    work(int(sys.argv[2])) if sys.argv[1:2] == ["work"] else tour()
