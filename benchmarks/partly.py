"""Which folios of real programs are partly mapped, and what an average and page weights notice of them.

`python benchmarks/partly.py [--seconds N] [--json]` (root; redis-server). Each program runs under `rmaplab record
--around` with its heap in huge pages; then `rmaplab trace partly` reads the trace. docs/partly.md. Looks are apart: what
came and went between two of them is not seen.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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


PROGRAMS = {"redis": redis, "workers": workers}


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
    asked = parser.parse_args()
    if asked.only:
        PROGRAMS[asked.only](asked.seconds)
        return
    found = {name: recorded(name, asked.seconds, asked.every) for name in PROGRAMS}
    if asked.json:
        print(json.dumps(found))
        return
    for name, one in found.items():
        for kind in ("one_mm", "shared"):
            print(name, kind, *(f"{key}={value}" for key, value in one[kind].items()))


if __name__ == "__main__":
    main()
