"""Memory of a random program: mapped, moved, unmapped; and the files behind it, which grow, shrink and get holes."""

from dataclasses import replace

from rmaplab.machine.differential.acts.processes import spawn
from rmaplab.machine.differential.cast import Area, Process
from rmaplab.machine.differential.program import Step
from rmaplab.machine.differential.story import BLOCK, Story
from rmaplab.machine.protocol import PMD_ORDER


def mmap(story: Story) -> None:
    process = story.process()
    if process is None:
        spawn(story)
        return
    order = story.lots.choice(story.orders)
    if story.lots.random() < story.shares:
        _mmap_file(story, process, order)
        return
    pages = story.size(order)
    area = Area(story.number(), pages)
    process.areas.append(area)
    story.add(Step("mmap", process.number, pages=pages, makes=area.number, order=order))
    if story.lots.random() < 0.7:
        story.add(Step("write", process.number, area.number, 0, pages, value=story.value()))
    if story.merges and story.lots.random() < 0.6:
        story.add(Step("madvise", process.number, area.number, 0, pages, advice="mergeable"))


def _mmap_file(story: Story, process: Process, order: int) -> None:
    """Shared anonymous memory, or a part of a file, shared or private."""
    area = Area(story.number(), story.size(order), shared=story.lots.random() < 0.6, file=True)
    process.areas.append(area)
    step = Step("mmap", process.number, pages=area.pages, makes=area.number, order=order, shared=area.shared)
    if not area.shared or story.lots.random() < 0.6:
        if not story.files or story.lots.random() < 0.3:
            _file(story, order)
        file, length, area.disk = story.lots.choice(story.files)
        first = story.lots.choice((0, 0, story.lots.randrange(length), (length - 1) // BLOCK * BLOCK))
        area.pages = min(story.lots.choice((area.pages, length)), length - first)
        step = replace(step, file=file, page=first, pages=area.pages)
    story.add(step)
    if story.lots.random() < 0.5:
        touch = story.lots.choice((Step("read"), Step("write", value=story.value())))
        story.add(replace(touch, process=process.number, area=area.number, pages=area.pages))


def mmap_over(story: Story) -> None:
    """Other memory in the place of a part of an area."""
    found = story.some()
    if not found:
        return
    process, area = found
    at, pages = area.part(story.lots)
    new = Area(story.number(), pages, shared=story.lots.random() < 0.3)
    step = Step("mmap", process.number, area.number, pages=pages, makes=new.number, shared=new.shared, at=at)
    new.file = new.shared
    if story.files and story.lots.random() < 0.4:
        file, length, new.disk = story.lots.choice(story.files)
        first = story.lots.choice((0, at % length, story.lots.randrange(length)))
        new.pages, new.file = min(pages, length - first), True
        step = replace(step, file=file, page=first, pages=new.pages)
    story.add(step)
    process.areas.remove(area)
    behind = area.first + area.pages - at - new.pages
    for first, left in ((area.first, at - area.first), (at + new.pages, behind)):
        if left:
            process.areas.append(replace(area, first=first, pages=left))
    process.areas.append(new)
    if story.lots.random() < 0.6:
        story.add(Step("write", process.number, new.number, 0, new.pages, value=story.value()))


def _file(story: Story, order: int) -> None:
    disk = story.lots.random() < story.disk
    # Disk files are cached in folios of any order, whatever the kernel offers to anonymous memory.
    if disk:
        order = min(story.lots.choice((order, story.lots.randrange(PMD_ORDER + 1))), story.disk_order)
    number, pages = story.number(), story.size(order)
    story.files.append((number, pages, disk))
    story.add(Step("file", pages=pages, makes=number, order=order, kind="file" if disk else ""))


def truncate(story: Story) -> None:
    """Let a file shrink or grow; most that shrank grow again soon, for what is beyond the end is of no use."""
    if not story.files:
        return
    at = story.lots.randrange(len(story.files))
    _, pages, _ = story.files[at]
    block = min(BLOCK, pages)
    new = story.lots.choice((1, pages // 2 or 1, story.lots.randint(1, pages), block, pages + 7, pages + block))
    _resize(story, at, new)
    if new < pages and story.lots.random() < 0.7:
        if story.lots.random() < 0.4:
            story.on_range(story.lots.choice((Step("read"), Step("madvise", advice="pageout"), Step("mlock"))))
        _resize(story, at, story.lots.choice((pages, pages, pages + 1)))


def _resize(story: Story, at: int, pages: int) -> None:
    number, _, disk = story.files[at]
    pages = min(pages, 4 * BLOCK)
    story.files[at] = number, pages, disk
    story.add(Step("truncate", file=number, pages=pages))


def punch_hole(story: Story) -> None:
    if story.files:
        number, pages, _ = story.lots.choice(story.files)
        page, size = Area(number, pages).part(story.lots)
        story.add(Step("punch_hole", file=number, page=page, pages=size))


def munmap(story: Story) -> None:
    found = story.some()
    if found:
        process, area = found
        page, pages = area.part(story.lots)
        story.add(Step("munmap", process.number, area.number, page, pages))
        if pages == area.pages:
            process.areas.remove(area)


def mremap(story: Story) -> None:
    found = story.some()
    if not found:
        return
    process, area = found
    page, pages = area.part(story.lots)
    how = story.lots.choice(("move", "move", "dontunmap", "shrink", "grow"))
    step = Step("mremap", process.number, area.number, page, pages, new_pages=pages)
    if how in ("move", "dontunmap"):
        new = Area(story.number(), pages, area.shared, area.file, area.disk)
        if how == "move" and story.lots.random() < 0.3:
            new.pages = _resized(story, area, pages)
        process.areas.append(new)
        step = replace(step, makes=new.number, new_pages=new.pages)
        story.add(replace(step, move=how == "move", dontunmap=how == "dontunmap"))
        if how == "move" and pages == area.pages:
            process.areas.remove(area)
        if area.shared and story.lots.random() < 0.4:
            new.pages = pages
            story.steps[-1] = replace(story.steps[-1], pages=0, new_pages=pages, move=False, dontunmap=False)
    elif how == "shrink" and pages > 1:
        left = story.lots.randint(1, pages - 1)
        story.add(replace(step, new_pages=left))
        area.pages -= pages - left if page + pages == area.first + area.pages else 0
    elif how == "grow" and not area.file:
        more = story.lots.choice((1, 16, BLOCK))
        story.add(replace(step, page=area.first, pages=area.pages, new_pages=area.pages + more))
        area.pages += more


def _resized(story: Story, area: Area, pages: int) -> int:
    """How long `pages` pages of `area` shall be elsewhere: of a file no longer, for what lies beyond its end."""
    if area.file or story.lots.random() < 0.5:
        return story.lots.randint(1, pages)
    return pages + story.lots.choice((1, 16, BLOCK))
