"""Processes of a random program: they come, share memory, and end."""

from dataclasses import replace
from typing import Literal

from rmaplab.machine.differential.cast import Process
from rmaplab.machine.differential.program import Step
from rmaplab.machine.differential.story import MAX_PROCESSES, Story


def spawn(story: Story) -> None:
    if len(story.alive) < MAX_PROCESSES:
        process = Process(story.number())
        story.alive.append(process)
        story.add(Step("spawn", makes=process.number))


def fork(story: Story) -> None:
    parent = story.process()
    if parent:
        fork_of(story, parent)


def fork_of(story: Story, parent: Process) -> Process | None:
    if len(story.alive) >= MAX_PROCESSES:
        return None
    child = Process(story.number(), [replace(a) for a in parent.areas])
    story.alive.append(child)
    story.add(Step("fork", parent.number, makes=child.number))
    return child


def vfork(story: Story) -> None:
    parent = story.process()
    if parent and _sharable(story, parent):
        _share(story, parent, "vfork").vforked = parent
        parent.waits = True
        if story.lots.random() < 0.1:
            story.add(Step("exec", parent.number))


def clone_vm(story: Story) -> None:
    parent = story.process()
    if parent and _sharable(story, parent):
        _share(story, parent, "clone_vm")


def _sharable(story: Story, parent: Process) -> bool:
    """Whether it can have a child in its memory; now and then one that cannot is asked to, too."""
    return len(story.alive) < MAX_PROCESSES and (not parent.uffd or story.lots.random() < 0.02)


def _share(story: Story, parent: Process, do: Literal["vfork", "clone_vm"]) -> Process:
    child = Process(story.number(), parent.areas)
    story.alive.append(child)
    story.add(Step(do, parent.number, makes=child.number))
    return child


def _leave(process: Process) -> None:
    """Out of the address space: a parent that waits for that goes on."""
    if process.vforked:
        process.vforked.waits, process.vforked = False, None


def exec_(story: Story) -> None:
    process = story.process()
    if process:
        _leave(process)
        process.areas, process.uffd = [], False
        process.pins.clear()
        story.add(Step("exec", process.number))


def exit_(story: Story) -> None:
    if len(story.alive) > 1:
        end(story, story.lots.choice(story.running()))


def end(story: Story, process: Process) -> None:
    story.alive.remove(process)
    _leave(process)
    story.add(Step("exit", process.number))


def thp_disable(story: Story) -> None:
    if process := story.process():
        story.add(Step("thp_disable", process.number, disabled=story.lots.random() < 0.5))
