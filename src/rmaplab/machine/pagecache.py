"""What a file of a disk file system holds when it is made: contents and page-cache folios, the same on all machines.

For the machines that make such files (`Machine.file(kind="file")`).
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


def layout(pages: int, order: int) -> Iterator[tuple[int, int]]:
    """First page and order of every folio, ascending: of `order` as far as these fit, then of the largest that do.

    That is what a file system with large folios makes of one write per folio (`__filemap_get_folio()`: no larger than
    the write, naturally aligned).
    """
    page = 0
    while page < pages:
        fits = min(order, (pages - page).bit_length() - 1)
        yield page, fits
        page += 1 << fits


def contents(pages: int) -> NDArray[np.uint8]:
    """First byte of every page; the others are zero. Never 0, and different for neighbours."""
    return (np.arange(pages) % 255 + 1).astype(np.uint8)
