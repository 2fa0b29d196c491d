"""Files: page cache and shmem folios, by file page.

For the model. A file keeps one reference per page on what it caches.
"""

from typing import Literal

import numpy as np

from rmaplab.machine.model.memory import Frames, Memory

PAGE_SHIFT = 12


class ModelFile:
    """`frame[i]` is the frame that caches file page `i`, 0 if none; `expect[i]` the version last written to it.

    `maps_whole_folios`: a fault maps all of the folio it brings in (shared anonymous memory only).
    """

    def __init__(
        self,
        memory: Memory,
        kind: Literal["file", "shmem"],
        pages: int,
        order: int,
        *,
        maps_whole_folios: bool = False,
    ) -> None:
        self.maps_whole_folios = maps_whole_folios
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

    def fill(self, pages: np.ndarray, order: int) -> None:
        """Cache these file pages (ascending): small folios, or naturally aligned ones of `order` where they fit."""
        if order:
            missing = pages[self.frame[pages] == 0]
            first = np.unique(missing >> order) << order
            fits = (first + (1 << order) <= self.pages) & ~self._any(first, 1 << order)
            self._cache(first[fits], order)
        self._cache(pages[self.frame[pages] == 0], 0)

    def _any(self, first: np.ndarray, size: int) -> np.ndarray:
        span = np.minimum(first[:, None] + np.arange(size), self.pages - 1)
        return np.asarray((self.frame[span] != 0).any(axis=1))

    def _cache(self, first: np.ndarray, order: int) -> None:
        if not len(first):
            return
        heads = self._memory.allocate(order, len(first), self._kind)
        span = first[:, None] + np.arange(1 << order)
        self.frame[span] = heads[:, None] + np.arange(1 << order, dtype=np.uint32)
        self._memory.hold(self._memory.frame["folio"][heads], 1 << order)
