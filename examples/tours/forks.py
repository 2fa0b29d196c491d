"""A server whose workers fork workers (puma's fork_worker): the last one left copies memory that nobody else has.

The parent fills 32 MiB of huge pages, forks a worker, that forks the next one; parent and first worker end (a phased
restart). The kernel remembers two MMs a folio: what three have mapped stays "maybe shared", and each write of the last
one copies. Before: the parent is there when the worker forks. After: the worker forks when its parent has gone, so that
there are never three. `python forks.py` (root).
"""

import mmap
import os
import sys
import time

from touring import MIB, answer, copied, watched

SIZE = 32 * MIB


def work(order: str) -> None:
    """What is watched. The last worker writes all of the memory."""
    heap = mmap.mmap(-1, SIZE + 2 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    heap.madvise(mmap.MADV_HUGEPAGE)
    heap[:: mmap.PAGESIZE] = b"\1" * (len(heap) // mmap.PAGESIZE)
    for start in range(0, SIZE, 2 * MIB):
        heap.madvise(mmap.MADV_DONTNEED, start, mmap.PAGESIZE)  # mapped by PTEs from now on
    end, held = os.pipe()
    if os.fork() == 0:
        os.close(held)
        if order == "after":
            os.read(end, 1)  # until the parent has gone
        if os.fork() == 0:
            while os.getppid() != 1 and os.read(end, 1):
                pass
            time.sleep(0.5)
            heap[mmap.PAGESIZE :: mmap.PAGESIZE] = b"\2" * (len(heap) // mmap.PAGESIZE - 1)
            os.write(2, b"")
            os._exit(0)
        os._exit(0)
    time.sleep(0.3)


def tour() -> None:
    before, after = (
        watched("sh", "-c", f"{sys.executable} {__file__} work {order}; sleep 2") for order in ("three", "after")
    )
    needless = before["needless"]
    answer(
        "The memory of a worker doubles after a phased restart: who shares it?",
        [
            f"nobody: {needless} pages were copied though no other process mapped them (needless)",
            "change: fork the next worker when the parent has gone, so that never three processes map a huge page;",
            "or keep that heap out of huge pages",
        ],
        copied([before]),
        copied([after]),
    )


if __name__ == "__main__":
    work(sys.argv[2]) if sys.argv[1:2] == ["work"] else tour()
