"""What the processes of one live machine share: the recorder, the warden, and what is borrowed of the whole system.

For `LiveMachine` and `LiveProcess`. It looks at all of its world after every operation; what it sees the recorder gets.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rmaplab.machine.base import Commons
from rmaplab.machine.live.arena import Area
from rmaplab.machine.live.held import LiveFile
from rmaplab.machine.live.host import knobs
from rmaplab.machine.live.host.capabilities import probe
from rmaplab.machine.live.proc.procfs import ProcessGone
from rmaplab.machine.live.record import cow
from rmaplab.machine.live.record.recorder import Move, Recorder, Write
from rmaplab.machine.live.record.snapshot import Space
from rmaplab.machine.live.workers import ksm
from rmaplab.machine.live.workers.control import Warden, WorkerDied
from rmaplab.machine.protocol import PMD_ORDER, NotAvailable


class Member(Protocol):
    """What a system must know of a process to look at it, and to find that it died."""

    @property
    def mm(self) -> int: ...

    @property
    def alive(self) -> bool: ...

    def space(self) -> Space:
        """Its address space, for a snapshot."""

    def mourn(self) -> bool:
        """Whether it died by itself since the last operation; then it counts as ended from now on."""

    def wait_if_dying(self) -> None:
        """A killed process loses its memory a moment before it is gone: wait until it is."""


class LiveSystem(Commons[LiveFile]):
    """A part of the running system, watched. `members`: all processes in it, the ended ones too."""

    def __init__(self, recorder: Recorder, members: Sequence[Member]) -> None:
        super().__init__()
        self.recorder = recorder
        self.warden = Warden()
        self._members = members
        self._keys = 0
        self._alone = self._has_ksm = False
        self.guards = False
        """Whether any process ever put a guard anywhere."""
        self.locks = False
        """Whether any process ever locked memory."""

    def spaces(self) -> list[Space]:
        """One of every address space, by MM; processes that share one see the same."""
        return [space for _, space in sorted({p.mm: p.space() for p in self._members if p.alive}.items())]

    def look(
        self, touched: frozenset[int] | None, write: Write | None = None, move: Move | None = None
    ) -> cow.Questions | None:
        """Record what an operation that may have changed the MMs `touched` (None: any) did.

        Raises WorkerDied, after recording it, if a process that had no part in it died meanwhile.
        """
        self.recorder.count("operations")
        dead = [process for process in self._members if process.mourn()]
        if touched is not None:
            touched |= {process.mm for process in dead}
        try:
            questions = self.recorder.advance(self.spaces(), touched, write, move)
        except ProcessGone:
            self.wait_for_dying()
            return self.look(touched, write, move)
        if dead:
            raise WorkerDied(f"processes with MMs {[process.mm for process in dead]} died by themselves")
        return questions

    def wait_for_dying(self) -> None:
        """Until every process that somebody killed is really gone."""
        for process in self._members:
            process.wait_if_dying()

    @contextmanager
    def knobs_for(self, area: Area) -> Iterator[None]:
        """While this lasts, faults in `area` get folios of its order, THPs if it has none and was advised to. Only one
        machine on the system can be here, but for disk files, whose folios no knob decides."""
        if area.backing == "file":
            with self.no_khugepaged():
                yield
        elif area.order or area.advised:
            with self.knobs(knobs.words(area.backing, area.order or PMD_ORDER)):
                yield
        else:
            yield

    @contextmanager
    def knobs_for_collapse(self, area: Area) -> Iterator[None]:
        """While this lasts, MADV_COLLAPSE works in `area` if it is shmem, whatever it was advised; anonymous memory needs
        no knob."""
        with self.knobs(knobs.collapse_words()) if area.backing == "shmem" else self.no_khugepaged():
            yield

    @contextmanager
    def knobs(self, words: dict[str, list[str]]) -> Iterator[None]:
        """While this lasts, these files below `knobs.THP` have one of their words. Only one machine can be here."""
        self.warden.set_knobs(knobs.THP, words)
        try:
            yield
        finally:
            self.warden.restore_knobs()

    def no_khugepaged(self) -> AbstractContextManager[None]:
        """While this lasts, no machine has khugepaged scan: a process may have THPs that others must not bring it."""
        return self.knobs({})

    def require_thp(self) -> None:
        if not knobs.orders("anon"):
            raise NotAvailable(f"large folios: {knobs.THP} offers no size; order 0 works")

    def alone(self) -> None:
        """Before this machine does what the whole system feels: wait for other live machines, keep new ones out until
        `close`. Again does nothing. Raises MachineError if they keep the system for long."""
        if not self._alone:
            self.warden.alone()
            self._alone = True

    def require_ksm(self) -> None:
        """Before memory becomes mergeable: be alone, and the only one whose memory is merged, until `close`."""
        if self._has_ksm:
            return
        probe().require("ksm")
        self.alone()
        if others := ksm.users():
            raise NotAvailable(
                f"KSM: {len(others)} processes have mergeable memory of their own, the first is {others[0]}"
            )
        self.warden.borrow_ksm()
        self._has_ksm = True

    def write_back(self) -> None:
        """Make the cached pages of all disk files clean: what becomes of a dirty page is the flusher's timing."""
        for file in self.files:
            if file.kind == "file":
                os.fsync(file.fd)

    def new_key(self) -> int:
        self._keys += 1
        return self._keys
