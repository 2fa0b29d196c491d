"""Files: page cache and shmem folios, by file page.

For the model. A file keeps one reference per page on what it caches. How pages of a disk file come in is `readahead`'s,
how pages leave the cache `reclaim`'s.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rmaplab.machine.model.physical.columns import Index
from rmaplab.machine.model.physical.memory import Frames, Memory
from rmaplab.machine.pagecache import contents, layout
from rmaplab.machine.protocol import PMD_ORDER

PAGE_SHIFT = 12


class ModelFile:
    """`frame[i]` is the frame that caches file page `i`, 0 if none; `expect[i]` the version last written to it and
    `value[i]` its first byte. `dirty[i]`: written to through a shared mapping, ever. `ahead[i]`: a folio that
    begins at page `i` carries the readahead mark, which fault-around leaves alone. `swap[i]` is the swap slot that holds
    page `i` of shmem, 0 if none, and `swap_order[i]` the order of the folio it left with. A file that is not `lasting`
    goes with its last mapping. The arrays go on beyond the file's end, at `pages`, as far as a folio across it may.

    `order` is what mappings of shmem get unless they ask for another, and of a disk file what its cache begins with.
    """

    def __init__(
        self, memory: Memory, kind: Literal["file", "shmem"], pages: int, order: int, *, lasting: bool = True
    ) -> None:
        self._memory = memory
        self._kind: Literal["file", "shmem"] = kind
        self.pages = 0
        self.order = order
        self.lasting = lasting
        self.frame: Frames = np.zeros(0, np.uint32)
        self.expect = np.zeros(0, np.uint32)
        self.value = np.zeros(0, np.uint8)
        self.dirty, self.ahead = np.zeros(0, np.bool_), np.zeros(0, np.bool_)
        self.swap, self.swap_order = np.zeros(0, np.uint32), np.zeros(0, np.uint8)
        self.resize(pages)
        if self.on_disk:
            self.value[:pages] = contents(pages)
            first, orders = np.array(list(layout(pages, order))).T
            for size in np.unique(orders).tolist():
                self.cache(first[orders == size], size)

    def __repr__(self) -> str:
        cached, away = int((self.frame > 0).sum()), int((self.swap > 0).sum())
        return f"<ModelFile {self._kind}, {self.pages} pages: {cached} cached, {away} in swap>"

    @property
    def kind(self) -> Literal["file", "shmem"]:
        return self._kind

    @property
    def on_disk(self) -> bool:
        """Whether it belongs to a disk file system."""
        return self._kind == "file"

    @property
    def length(self) -> int:
        return self.pages << PAGE_SHIFT

    def resize(self, pages: int) -> None:
        """The file ends after `pages` pages from now on; what it holds of others is not looked at."""
        self.pages = pages
        more = (-(-pages >> PMD_ORDER) << PMD_ORDER) - len(self.frame)
        if more > 0:
            for name in ("frame", "expect", "value", "dirty", "ahead", "swap", "swap_order"):
                setattr(self, name, np.pad(getattr(self, name), (0, more)))

    def free_groups(self, first: Index, order: int) -> NDArray[np.bool_]:
        """Which runs of 2^order file pages from `first` on, aligned to their length, hold nothing; they may reach beyond
        the file's end."""
        span = first[:, None] + np.arange(1 << order)
        return np.asarray(((self.frame[span] == 0) & (self.swap[span] == 0)).all(axis=1))

    def cache(self, first: Index, order: int) -> None:
        """Bring in a folio of `order` at each of the file pages `first`, where nothing is cached."""
        if not len(first):
            return
        heads = self._memory.allocate(order, len(first), self._kind)
        span = first[:, None] + np.arange(1 << order)
        frames = heads[:, None] + np.arange(1 << order, dtype=np.uint32)
        self.frame[span] = frames
        self._memory.frame["version"][frames], self._memory.frame["value"][frames] = self.expect[span], self.value[span]
        self._memory.hold(self._memory.frame["folio"][heads], 1 << order)

    def forget(self, first: int, pages: int) -> None:
        """Let go of the unmapped folio of `pages` pages that caches file page `first` and those after it."""
        slot = self._memory.frame["folio"][self.frame[first : first + 1]]
        self.frame[first : first + pages] = 0
        self.ahead[first] = False
        self._memory.drop(slot, pages)

    def first_pages(self, pages: Index) -> Index:
        """For each of these file pages, all cached, the file page at which its folio begins."""
        frames = self.frame[pages]
        heads = self._memory.folio["head"][self._memory.frame["folio"][frames]]
        return np.asarray(pages - (frames.astype(np.int64) - heads))

    def touch(self, lo: int, hi: int) -> None:
        """File pages [lo, hi), mapped shared, were written to."""
        self.dirty[lo:hi] = True
        if self.ahead.any():
            self.ahead[self.first_pages(np.arange(lo, hi))] = False
