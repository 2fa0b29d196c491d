"""Files that shrink, grow, or get holes: what the page cache and swap let go of, and who maps it no longer.

For the model's machine. Follows unmap_mapping_range() and shmem_undo_range(), truncate_inode_pages_range(): first nobody
maps the range any more, then folios go that it covers whole. One that it covers in part is filled with zeroes there, and
split so that this part can go too, unless somebody holds it.
"""

import numpy as np

from rmaplab.machine.model.backing.pagecache import ModelFile
from rmaplab.machine.model.backing.shmem import read_back
from rmaplab.machine.model.physical.memory import Memory
from rmaplab.machine.model.space.addressspace import World
from rmaplab.machine.model.space.rmap import unmap_everywhere


def truncate(world: World, file: ModelFile, pages: int, version: int) -> None:
    """ftruncate(2): `file` ends after `pages` pages. What is beyond is gone, private copies of it too; where it will be
    the file's again it holds zeroes, known as content `version`."""
    shrinks = pages < file.pages
    file.resize(pages)
    world.memory.recorder.tick()
    if shrinks:
        end = len(file.frame)
        _unmap(world, file, pages, end, copies=True)
        _empty(world, file, pages, end, (pages,), version)


def punch_hole(world: World, file: ModelFile, first: int, pages: int, version: int) -> None:
    """fallocate(2) with FALLOC_FL_PUNCH_HOLE: `pages` pages of `file` from page `first` on hold zeroes, known as content
    `version`, and no memory. Private copies stay."""
    _unmap(world, file, first, first + pages, copies=False)
    _empty(world, file, first, first + pages, (first, first + pages - 1), version)


def _unmap(world: World, file: ModelFile, first: int, end: int, *, copies: bool) -> None:
    """Nobody maps file pages [first, end) any more; with `copies`, nor the copies that private mappings have of them."""
    step = world.memory.recorder.tick()
    for space in world.spaces.values():
        for vma in space.vmas:
            lo, hi = (max(vma.start, vma.start + page - vma.pgoff) for page in (first, end))
            if vma.file is not file or lo >= (hi := min(hi, vma.end)):
                continue
            space.split_edges(vma, lo, hi, step)
            if copies:
                space.zap(lo, hi, step)
            else:
                space.zap_file(lo, hi, step)


def _empty(world: World, file: ModelFile, first: int, end: int, edges: tuple[int, ...], version: int) -> None:
    """Let go of file pages [first, end), which nobody maps. `edges`: pages whose folios may have others too."""
    file.expect[first:end], file.value[first:end] = version, 0
    _drop(world, file, first, end)
    seen = -1
    for page in edges:
        read_back(world.memory, world.swap, file, np.array([page]))
        if not file.frame[page] or page < seen:
            continue
        start = int(file.first_pages(np.array([page]))[0])
        seen = start + _size(world.memory, file, start)
        _cut(world, file, start, first, end)
    _drop(world, file, first, end)


def _size(memory: Memory, file: ModelFile, page: int) -> int:
    """Pages of the folio that caches file page `page`."""
    return 1 << int(memory.folio["order"][memory.frame["folio"][file.frame[page]]])


def _drop(world: World, file: ModelFile, first: int, end: int) -> None:
    """Let go of the folios and of what left with one folio for swap that lie within [first, end) as a whole."""
    cached = first + np.flatnonzero(file.frame[first:end])
    for start in np.unique(file.first_pages(cached)).tolist():
        size = _size(world.memory, file, start)
        if first <= start and start + size <= end:
            _forget(file, start, size)
    device = world.swap.device
    away = first + np.flatnonzero(file.swap[first:end])
    for start in np.unique(away >> file.swap_order[away] << file.swap_order[away]).tolist() if device else ():
        size = 1 << int(file.swap_order[start])
        if device is not None and first <= start and start + size <= end:
            slots = file.swap[start : start + size].astype(np.int64)
            file.swap[start : start + size] = 0
            device.put(slots)


def _forget(file: ModelFile, start: int, size: int) -> None:
    file.forget(start, size)
    file.dirty[start : start + size] = False


def _cut(world: World, file: ModelFile, start: int, first: int, end: int) -> None:
    """Fill with zeroes what [first, end) has of the folio that begins at file page `start`, and split it there
    (truncate_inode_partial_folio()).

    One that is held stays as it is, mappings of others' pages included, if it is shmem; of a disk file all of it leaves
    the cache, as it is clean.
    """
    memory = world.memory
    size = _size(memory, file, start)
    slot = memory.frame["folio"][file.frame[start : start + 1]]
    lo, hi = max(first, start), min(end, start + size)
    for name, value in (("version", file.expect[lo]), ("value", 0)):
        memory.frame[name][file.frame[lo:hi]] = value
    if not file.on_disk:
        file.dirty[start : start + size] = True
    if memory.folio["refs"][slot[0]] != memory.folio["mapcount"][slot[0]] + size:
        if file.on_disk:
            unmap_everywhere(world, slot)
            _forget(file, start, size)
        return
    unmap_everywhere(world, slot)
    _split(memory, file, start, lo)
    if hi < start + size:
        _split(memory, file, int(file.first_pages(np.array([hi]))[0]), hi)


def _split(memory: Memory, file: ModelFile, start: int, page: int) -> None:
    """Split the folio that begins at file page `start`, which nobody maps, so that one begins at `page`: into halves, and
    the half with `page` again, down to it; or into pages, by kernels that know no other way."""
    slot, size = int(memory.frame["folio"][file.frame[start]]), _size(memory, file, start)
    if size == 1:
        return
    parts = [(start + at, 1) for at in range(size)] if memory.policy.cuts_to_pages else []
    while not memory.policy.cuts_to_pages and size > 1:
        size //= 2
        inside = page >= start + size
        parts.append((start if inside else start + size, size))
        start += size * inside
        parts += [(start, 1)] * (size == 1)
    sizes = np.array([pages for _, pages in parts])
    heads = file.frame[[at for at, _ in parts]]
    memory.divide(slot, heads, sizes)
    for each in np.unique(sizes).tolist():
        memory.hold(memory.frame["folio"][heads[sizes == each]], each)
    memory.counters.splits += 1
