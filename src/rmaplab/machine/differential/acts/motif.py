"""Motifs in a random program: several steps about one thing, in a row."""

from dataclasses import replace

from rmaplab.machine.differential.acts.pages import khugepaged
from rmaplab.machine.differential.acts.processes import end, fork_of
from rmaplab.machine.differential.cast import Area, Process
from rmaplab.machine.differential.motifs import MOTIFS, Move
from rmaplab.machine.differential.program import Step
from rmaplab.machine.differential.story import Story


def motif(story: Story) -> None:
    """All of one motif, by one process and, where the motif forks, its child."""
    found = story.some()
    if not found:
        return
    owner, area = found
    part, child, pins = area.part(story.lots), None, list(owner.pins)
    for move in story.lots.choice(list(MOTIFS.values())):
        if story.lots.random() >= move.chance:
            continue
        process = child if move.who else owner
        if process is None or process not in story.running():
            continue
        if move.do == "fork":
            child = fork_of(story, process) or child
        elif move.do == "exit":
            end(story, process)
        elif move.do == "unpin":
            for pin in [pin for pin in process.pins if pin not in pins]:
                process.pins.remove(pin)
                story.add(Step("unpin", process.number, pin=pin))
        elif move.do == "khugepaged":
            khugepaged(story)
        else:
            _do(story, move, process, area, part)


def _do(story: Story, move: Move, process: Process, area: Area, part: tuple[int, int]) -> None:
    rest = (area.first + 1, area.pages - 1) if area.pages > 1 else (area.first, 1)
    page, pages = {"all": area.all, "part": part, "first": (area.first, 1), "rest": rest}[move.where]
    step = Step(move.do, process.number, area.number, page, pages, advice=move.advice, writable=move.writable)
    step = replace(step, shared=move.shared, longterm=move.longterm, readable=move.readable)
    step = replace(step, disabled=move.disabled, protected=move.protected)
    process.uffd |= move.do == "uffd_wp"
    if move.do in ("write", "poke"):
        step = replace(step, value=story.value())
    if move.do == "pin":
        step = replace(step, makes=story.number(), pages=min(pages, 64))
        process.pins.append(step.makes)
    story.add(step)
