"""A data loader: workers that only read a list of Python objects copy it, for each read counts a reference.

Before: the data set is a list of strings. After: one NumPy array; reading it writes nothing. `python loader.py` (root).
"""

import multiprocessing
import sys

import numpy as np
from touring import answer, copied, watched, where, workers

ITEMS, LENGTH, WORKERS = 200_000, 32, 2
DATA: object = None


def epoch(_: int) -> int:
    """One worker's pass over all items."""
    return sum(len(item) for item in DATA)  # type: ignore[attr-defined]


def work(kind: str) -> None:
    """What is watched: two passes in each of two workers."""
    global DATA  # noqa: PLW0603  (inherited by fork: that is the point)
    names = [f"{number:0{LENGTH}d}" for number in range(ITEMS)]
    DATA = names if kind == "list" else np.array(names, f"S{LENGTH}")
    del names
    with multiprocessing.get_context("fork").Pool(WORKERS) as pool:
        pool.map(epoch, range(WORKERS * 2), chunksize=1)


def tour() -> None:
    before, after = (watched(sys.executable, __file__, "work", kind) for kind in ("list", "array"))
    answer(
        "Why does memory grow with each worker of the data loader, which only reads?",
        [
            f"reading a Python object writes its reference count: {where(before)}",
            "change: keep the data set in one array (NumPy, Arrow), whose items are no objects until they are read",
        ],
        copied(workers(before)),
        copied(workers(after)),
    )


if __name__ == "__main__":
    work(sys.argv[2]) if sys.argv[1:2] == ["work"] else tour()
