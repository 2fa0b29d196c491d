"""Files: page cache and shmem folios, by file page.

For the model. A file keeps one reference per page on what it caches.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rmaplab.machine.model.columns import Index
from rmaplab.machine.model.memory import Frames, Memory

PAGE_SHIFT = 12


class ModelFile:
    """`frame[i]` is the frame that caches file page `i`, 0 if none; `expect[i]` the version last written to it.

    `order` is what mappings of it get unless they ask for another.
    """

    def __init__(self, memory: Memory, kind: Literal["file", "shmem"], pages: int, order: int) -> None:
        self._memory = memory
        self._kind: Literal["file", "shmem"] = kind
        self.pages = pages
        self.order = order
        self.frame: Frames = np.zeros(pages, np.uint32)
        self.expect = np.zeros(pages, np.uint32)

    @property
    def kind(self) -> Literal["file", "shmem"]:
        return self._kind

    @property
    def length(self) -> int:
        return self.pages << PAGE_SHIFT

    def free_groups(self, first: Index, order: int) -> NDArray[np.bool_]:
        """Which runs of 2^order file pages from `first` on hold nothing and lie within the file."""
        span = np.minimum(first[:, None] + np.arange(1 << order), self.pages - 1)
        return np.asarray((first + (1 << order) <= self.pages) & (self.frame[span] == 0).all(axis=1))

    def cache(self, first: Index, order: int) -> None:
        """Bring in a folio of `order` at each of the file pages `first`, where nothing is cached."""
        if not len(first):
            return
        heads = self._memory.allocate(order, len(first), self._kind)
        span = first[:, None] + np.arange(1 << order)
        self.frame[span] = heads[:, None] + np.arange(1 << order, dtype=np.uint32)
        self._memory.hold(self._memory.frame["folio"][heads], 1 << order)
