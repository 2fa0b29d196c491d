"""Programs whose write faults are known, for tests that watch them: run as `python programs_to_watch.py NAME ARGS`."""

import mmap
import os
import sys
import time
from typing import Final

NAME: Final = "/memfd:truth (deleted)"
"""What /proc/PID/maps calls the memory that counts."""


def memory(pages: int) -> mmap.mmap:
    """A private mapping of a file, written: anonymous pages in a mapping with a name."""
    fd = os.memfd_create("truth")
    os.ftruncate(fd, pages * mmap.PAGESIZE)
    made = mmap.mmap(fd, pages * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE)
    made[:] = b"\1" * len(made)
    return made


def write(pages: mmap.mmap, count: int) -> None:
    for page in range(count):
        pages[page * mmap.PAGESIZE] = 2


def family(children: int, pages: int) -> None:
    """Each child copies all pages (the parent has them), one after the other; then the parent reuses them."""
    made = memory(pages)
    for _ in range(children):
        pid = os.fork()
        if not pid:
            write(made, pages)
            os._exit(0)
        os.waitpid(pid, 0)
    write(made, pages)
    time.sleep(1)  # names of mappings are read while it is there


def eroded(pages: int, *written: int) -> None:
    """A child for each of `written`, which copies so many pages and says so; all stay until standard input ends."""
    made = memory(pages)
    for count in written:
        if not os.fork():
            write(made, count)
            os.write(1, f"{count} {os.getpid()}\n".encode())
            break
    os.read(0, 1)


def told(pages: int) -> None:
    """A child copies all pages when it is told to, says so, and lives on until told again."""
    made = memory(pages)
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    os.read(0, 1)
    write(made, pages)
    os.write(1, f"{os.getpid()}\n".encode())
    os.read(0, 1)


def status(code: int) -> None:
    sys.exit(code)


def wait(_: int) -> None:
    """Copies for ever, until it is told to end."""
    made = memory(16)
    print("ready", flush=True)
    while True:
        pid = os.fork()
        if not pid:
            write(made, 16)
            os._exit(0)
        os.waitpid(pid, 0)


def placed(pages: int, *groups: str) -> None:
    """A family in each of the cgroups, one after the other: each moves itself there, and executes."""
    for group in groups:
        pid = os.fork()
        if not pid:
            with open(os.path.join(group, "cgroup.procs"), "w", encoding="ascii") as file:
                file.write(str(os.getpid()))
            os.execv(sys.executable, [sys.executable, __file__, "family", "2", str(pages)])
        os.waitpid(pid, 0)


if __name__ == "__main__":
    if sys.argv[1] == "placed":
        placed(int(sys.argv[2]), *sys.argv[3:])
    else:
        {"family": family, "eroded": eroded, "status": status, "told": told, "wait": wait}[sys.argv[1]](
            *map(int, sys.argv[2:])
        )
