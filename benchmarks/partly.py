"""Which folios of real programs are partly mapped, and what an average and page weights notice of them.

`python benchmarks/partly.py [--seconds N] [--json] [NAME...]` (root; redis-server; for `backends` PostgreSQL's server).
Each program, and what each of the tours watches before its change (examples/tours), runs under `rmaplab record --around`
with its heap in huge pages; then `rmaplab trace partly` reads the trace. docs/partly.md. Looks are apart: what came and
went between two of them is not seen. So the tours, which are over in seconds, run in slices, and stand still in between
(but for PostgreSQL's server, which leaves our session). `--seconds` is for redis and the workers.
"""

import argparse
import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

TOURS = Path(__file__).parents[1] / "examples" / "tours"
SLICE, PAUSE = 0.1, 2.5
KEYS = 40_000
ITEMS = 300_000
COMMAND = (sys.executable, "-c", "from rmaplab.cli.app import main; main()")
HEAP = {"MALLOC_CONF": "thp:always", "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1", "PYTHONMALLOC": "malloc"}


def redis(seconds: float) -> None:
    """A server with data; a snapshot; writes to all keys meanwhile, half of them deleted afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "socket")
        delay = str(int(seconds / 2 * 1e6 / KEYS))
        options = {
            "port": "0",
            "unixsocket": path,
            "save": "",
            "dir": folder,
            "disable-thp": "no",
            "rdb-key-save-delay": delay,
        }
        options["rdb-key-save-delay"] = delay
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        server = subprocess.Popen(["redis-server", *words], stdout=subprocess.DEVNULL)

        def ask(text: str) -> None:
            subprocess.run(["redis-cli", "-s", path], input=text, text=True, stdout=subprocess.DEVNULL, check=False)

        while not os.path.exists(path) and server.poll() is None:
            time.sleep(0.05)
        ask("".join(f"SET key{n} {'x' * 500}\n" for n in range(KEYS)) + "BGSAVE\n")
        for part in range(20):
            ask("".join(f"SETRANGE key{(n * 20 + part) * 7919 % KEYS} 0 y\n" for n in range(200)))
            time.sleep(seconds / 40)
        time.sleep(seconds / 4)
        ask("".join(f"DEL key{n}\n" for n in range(KEYS // 2)))
        time.sleep(seconds / 4)
        ask("SHUTDOWN NOSAVE\n")
        server.wait()


def workers(seconds: float) -> None:
    """Python: a list of strings; three workers read parts of it, which writes reference counts, and leave one by one."""
    data = [f"{number:0100d}" for number in range(ITEMS)]
    children = []
    for worker in range(3):
        child = os.fork()
        if child == 0:
            step = seconds / 10
            for part in range(worker + 1):
                time.sleep(step)
                sum(len(word) for word in data[part * ITEMS // 6 : (part + 1) * ITEMS // 6])
            time.sleep(step * 2 * worker)
            os._exit(0)
        children.append(child)
    time.sleep(seconds / 2)
    del data[ITEMS // 2 :]
    for child in children:
        os.waitpid(child, 0)
    time.sleep(seconds / 4)


def backends(_seconds: float) -> None:
    """PostgreSQL's server and twenty connections, as user nobody."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        initdb = shutil.which("initdb") or max(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
        user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        made = [initdb, "-D", os.path.join(folder, "data"), "-A", "trust", "-N", "-U", "nobody"]
        subprocess.run([*user, *made], check=True, stdout=subprocess.DEVNULL)
        subprocess.run([*user, sys.executable, str(TOURS / "backends.py"), "work", "each", folder], check=True)


def in_slices(*words: str) -> None:
    """Run a command and all that it leaves running, SLICE seconds at a time: a look fits between."""
    leader = subprocess.Popen(words, start_new_session=True)
    try:
        while True:
            time.sleep(SLICE)
            leader.poll()
            os.killpg(leader.pid, signal.SIGSTOP)
            time.sleep(PAUSE)
            os.killpg(leader.pid, signal.SIGCONT)
    except ProcessLookupError:
        pass  # all have ended


def tour(name: str, *words: str) -> Callable[[float], None]:
    """What the tour `name` watches before its change."""
    return lambda _seconds: in_slices(sys.executable, str(TOURS / f"{name}.py"), "work", *words)


PROGRAMS: dict[str, Callable[[float], None]] = {
    "redis": redis,
    "workers": workers,
    "loader": tour("loader", "list"),
    "prefork": tour("prefork"),
    "forks": tour("forks", "three"),
    "snapshot": tour("snapshot", "1"),
    "backends": backends,
}


def recorded(name: str, seconds: float, every: float) -> dict[str, object]:
    """The JSON of `rmaplab trace partly` for one program."""
    with tempfile.TemporaryDirectory() as folder:
        trace = str(Path(folder, "trace"))
        around = f"{sys.executable} {Path(__file__).absolute()} --seconds {seconds} --only {name}"
        subprocess.run(
            [*COMMAND, "record", trace, "--every", str(every), "--around", around],
            env=os.environ | HEAP,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        done = subprocess.run([*COMMAND, "trace", "partly", trace, "--json"], check=True, capture_output=True)
        return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=40, help="how long a program goes on")
    parser.add_argument("--every", type=float, default=0.2, help="seconds between looks")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--only", choices=PROGRAMS, help=argparse.SUPPRESS)
    parser.add_argument("name", nargs="*", help=f"some of {', '.join(PROGRAMS)}; all by default")
    asked = parser.parse_args()
    if asked.only:
        PROGRAMS[asked.only](asked.seconds)
        return
    if unknown := set(asked.name) - set(PROGRAMS):
        parser.error(f"{min(unknown)}: must be one of {', '.join(PROGRAMS)}")
    found = {name: recorded(name, asked.seconds, asked.every) for name in asked.name or PROGRAMS}
    if asked.json:
        print(json.dumps(found))
        return
    for name, one in found.items():
        for kind in ("one_mm", "shared"):
            print(name, kind, *(f"{key}={value}" for key, value in one[kind].items()))


if __name__ == "__main__":
    main()
