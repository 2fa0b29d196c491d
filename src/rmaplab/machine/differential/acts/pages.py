"""Pages of a random program: read, written, advised, pinned, merged, collapsed."""

from dataclasses import replace
from typing import Final

from rmaplab.machine.base import MOST_DIRECT
from rmaplab.machine.differential.program import Step
from rmaplab.machine.differential.story import Story

_BY_OTHERS: Final = 0.15
"""Share of the advice on cold memory that another process gives."""


def write(story: Story) -> None:
    story.on_range(Step("write", value=story.value()))


def read(story: Story) -> None:
    story.on_range(Step("read"))


def peek(story: Story) -> None:
    story.on_range(Step("peek"))


def poke(story: Story) -> None:
    story.on_range(Step("poke", value=story.value()))


def read_direct(story: Story) -> None:
    found = story.some()
    if found and story.has_disk:
        process, area = found
        page, pages = area.part(story.lots)
        step = Step("read_direct", process.number, area.number, page, min(pages, MOST_DIRECT), value=story.value())
        story.add(step)


def migrate(story: Story) -> None:
    story.on_range(Step("migrate", shared=story.lots.random() < 0.5))


def mlock(story: Story) -> None:
    story.on_range(Step("mlock"))


def munlock(story: Story) -> None:
    story.on_range(Step("munlock"))


def uffd_wp(story: Story) -> None:
    found = story.some()
    if not found:
        return
    process, area = found
    if area.file and story.lots.random() < 0.9:
        return  # it would be refused
    page, pages = area.part(story.lots)
    process.uffd = True
    story.add(Step("uffd_wp", process.number, area.number, page, pages, protected=story.lots.random() < 0.8))


def khugepaged(story: Story) -> None:
    if story.has_khugepaged:
        story.add(_visit(story))


def _visit(story: Story) -> Step:
    """khugepaged with limits, seldom the kernel's own."""
    most = story.lots.choice
    none, swap, shared = most((511, 511, 0, 255)), most((64, 64, 511, 0)), most((256, 256, 511, 0, 8))
    return Step("khugepaged", max_none=none, max_swap=swap, max_shared=shared)


def dontneed(story: Story) -> None:
    story.on_range(Step("madvise", advice="dontneed"))


def mprotect(story: Story) -> None:
    roll = story.lots.random()
    story.on_range(Step("mprotect", writable=roll < 0.6, readable=roll < 0.9))


def ksm(story: Story) -> None:
    if not story.merges:
        return
    match story.lots.random():
        case roll if roll < 0.5:
            story.add(Step("merge"))
        case roll if roll < 0.8:
            story.on_range(Step("madvise", advice="mergeable"))
        case _:
            story.on_range(Step("madvise", advice="unmergeable"))


def cold(story: Story) -> None:
    found = story.some()
    if found:
        process, area = found
        advice = story.lots.choice(story.cold_advice)
        # Whoever collapses wants whole blocks.
        whole = advice == "collapse" and story.lots.random() < 0.7
        page, pages = area.all if whole else area.part(story.lots)
        step = Step("madvise", process.number, area.number, page, pages, advice=advice)
        story.add(replace(step, by=story.other(process) if story.lots.random() < _BY_OTHERS else -1))


def advice(story: Story) -> None:
    advice = story.lots.choice(
        (
            "dontfork",
            "dofork",
            "wipeonfork",
            "keeponfork",
            "populate_read",
            "populate_write",
            "hugepage",
            "nohugepage",
            "guard_install",
            "guard_remove",
        )
    )
    if "hugepage" not in advice:
        story.on_range(Step("madvise", advice=advice))
    elif found := story.some():
        process, area = found
        story.add(Step("madvise", process.number, area.number, *area.all, advice=advice))


def pin(story: Story) -> None:
    found = story.some()
    if found:
        process, area = found
        page, pages = area.part(story.lots)
        number = story.number()
        process.pins.append(number)
        longterm = story.lots.random() < 0.5
        size = min(pages, 64)
        story.add(Step("pin", process.number, area.number, page, size, makes=number, longterm=longterm))


def unpin(story: Story) -> None:
    able = [p for p in story.running() if p.pins]
    if able:
        process = story.lots.choice(able)
        pin = process.pins.pop(story.lots.randrange(len(process.pins)))
        story.add(Step("unpin", process.number, pin=pin))
