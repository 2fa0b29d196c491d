"""The page cache of a disk file: what a page that is not in it brings in.

For `faults.file`. Mappings of disk files are MADV_RANDOM: a miss brings the page alone, in a small folio; but under
MADV_HUGEPAGE the 2 MiB of the file around it, in folios as large as will do (do_sync_mmap_readahead(),
page_cache_ra_order()).
"""

import numpy as np

from rmaplab.machine.model.backing.pagecache import ModelFile
from rmaplab.machine.model.physical.columns import Index
from rmaplab.machine.protocol import PMD_ORDER


def read_in(file: ModelFile, pages: Index, *, huge: bool, large: bool) -> None:
    """Faults on the file pages `pages`, ascending, bring in those that are not cached. `huge`: under MADV_HUGEPAGE;
    `large`: the file system has large folios."""
    missing = pages[file.frame[pages] == 0]
    if not huge:
        file.cache(missing, 0)
        return
    for page in missing.tolist():
        if file.frame[page] == 0:
            _read_block(file, page >> PMD_ORDER << PMD_ORDER, large=large)


def _read_block(file: ModelFile, start: int, *, large: bool) -> None:
    """Read 2 MiB from page `start` on: large folios up to the first that would cover something cached, then small ones
    for whatever is not. The folio at `start` gets the readahead mark, as nothing is to be read after it."""
    end = min(start + (1 << PMD_ORDER), file.pages)
    page = start
    while large and page < end:
        order = min((page & -page or end).bit_length() - 1, PMD_ORDER, (end - page).bit_length() - 1)
        if file.frame[page : page + (1 << order)].any():
            break
        file.cache(np.array([page]), order)
        file.ahead[page] |= page == start
        page += 1 << order
    rest = np.arange(page, end)
    left = rest[file.frame[page:end] == 0]
    file.cache(left, 0)
    if page == start and end == start + (1 << PMD_ORDER) and start in left:
        file.ahead[start] = True
