"""A live process and its worker: asked under the right knobs, looked at afterwards, and found dead.

`LiveProcess` says which operations there are; what every one of them needs is here.
"""

import errno
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Literal

import numpy as np

from rmaplab.machine.arena import Areas
from rmaplab.machine.base import BaseProcess
from rmaplab.machine.live.arena import Area, check_mapped, check_unguarded
from rmaplab.machine.live.held import ADVICE, LivePin
from rmaplab.machine.live.proc import procfs
from rmaplab.machine.live.proc.procfs import ProcessGone, regions_or_none
from rmaplab.machine.live.record import cow
from rmaplab.machine.live.record.recorder import Move, Write
from rmaplab.machine.live.record.snapshot import Space
from rmaplab.machine.live.system import LiveSystem
from rmaplab.machine.live.workers.control import Answer, Worker, WorkerDied
from rmaplab.machine.live.workers.wire import Op
from rmaplab.machine.protocol import PAGE_SIZE, PMD_SIZE, BadOperation, MachineError, NotAvailable


class Attended(BaseProcess[Area, LivePin]):
    """The part of a live process that no single operation owns."""

    def __init__(self, system: LiveSystem, worker: Worker, mm: int, areas: Areas[Area]) -> None:
        super().__init__(system, areas)
        self._system, self._worker, self._mm = system, worker, mm

    @property
    def mm(self) -> int:
        return self._mm

    @property
    def pid(self) -> int:
        """The process id on this system."""
        return self._worker.pid

    def space(self) -> Space:
        return Space(self._mm, self._worker.pid, self._areas.ranges())

    def _area(self, call: str, address: int, length: int) -> Area:
        self._check_alive(call)
        return self._areas.around(call, address, length)

    def _check_access(
        self, call: str, area: Area, address: int, length: int, need: Literal["any", "readable", "writable"]
    ) -> None:
        """Raise BadOperation where pages of the range are not `need`, not of its file, or guards."""
        check_mapped(call, self.pid, address, length, need, area.limit)
        if self._system.guards:
            check_unguarded(call, self.pid, address, length)

    def _check_alive(self, call: str) -> None:
        super()._check_alive(call)
        if self._worker.dead():
            self._bury()
            self._worker.reap(call)

    def _ask(self, op: Op, *args: int, thp: bool = False, fd: int = -1) -> Answer:
        try:
            answer = self._worker.ask(op, *args, thp=thp, fd=fd)
        except WorkerDied:
            self._bury()
            raise
        if answer.error:
            name = f"{errno.errorcode.get(answer.error, '')}, {os.strerror(answer.error)}"
            if answer.error in (errno.EINVAL, errno.EACCES, errno.EPERM, errno.EFAULT, errno.EAGAIN, errno.EBUSY):
                raise BadOperation(op.name.lower(), tuple(args), f"refused by the kernel: {name}")
            if op is Op.POKE and answer.error == errno.EIO:
                raise NotAvailable("poke: this kernel lets only debuggers write by force (proc_mem.force_override)")
            raise MachineError(f"{self._worker.name}: {op.name.lower()}{tuple(args)}: {name}")
        return answer

    def _ask_faulting(self, op: Op, area: Area, address: int, length: int, *args: int, fd: int = -1) -> Answer:
        """`_ask` for an operation that may fault in pages: they get folios of the area's order.

        Where every page is there already no folio is allocated: knobs stay alone and khugepaged locked out.
        """
        rows = self._system.recorder.state.rows(self._mm, address, length)
        if rows.stop - rows.start == length // PAGE_SIZE and area.backing != "file":
            return self._ask(op, address, length, *args, fd=fd)
        with self._system.knobs_for(area):
            return self._ask(op, address, length, *args, thp=self._wants_thp(area), fd=fd)

    def _ask_populating(self, op: Op, area: Area, *args: int) -> Answer:
        """`_ask` for an operation that faults pages in where memory is locked."""
        if not self._system.locks:
            return self._ask(op, *args)
        with self._system.knobs_for(area):
            return self._ask(op, *args, thp=self._wants_thp(area))

    def _wants_thp(self, area: Area) -> bool:
        """Whether faults in `area` may map or make THPs at all."""
        return area.wants_thp and not self._areas.thp_disabled

    def _look(self, write: Write | None = None, move: Move | None = None) -> cow.Questions | None:
        return self._system.look(frozenset((self._mm,)), write, move)

    def _look_at_parts(self, address: int, length: int, parts: tuple[cow.Part, ...]) -> None:
        """After an operation whose faults wrote `parts` of the range."""
        if not parts:
            self._look()
            return
        first, (last, size, _) = parts[0][0], parts[-1]
        self._look(write=Write(self._mm, first, last + size - first, parts=parts))

    def _private(self, address: int, length: int, *, locked: bool | None, writable: bool) -> tuple[cow.Part, ...]:
        """The parts of the range that are private, `locked` (None: or not) and `writable` or not, and whether a call that
        changes that of the range cuts their VMAs."""
        if not self._system.locks and locked:
            return ()
        kept = {region.start for region in procfs.flagged(self.pid, b"lo")} if self._system.locks else set()
        parts = []
        for region in regions_or_none(self.pid, address + length):
            start, end = max(region.start, address), min(region.end, address + length)
            held = region.start in kept
            if start < end and not region.shared and region.writable == writable and locked in (None, held):
                parts.append((start, end - start, locked is not None or not held))
        return tuple(parts)

    def _settle(self, call: str) -> None:
        """Record what changed behind our back. Raises WorkerDied if a process turns out to be dying."""
        try:
            self._system.recorder.settle(self._system.spaces(), self._mm)
        except ProcessGone:
            self._system.wait_for_dying()
            self._check_alive(call)
            self._system.look(frozenset())

    def hugepage_regions(self) -> list[procfs.Region]:
        """VMAs of private anonymous memory under MADV_HUGEPAGE with room for a THP; none if THPs are disabled."""
        if self._areas.thp_disabled:
            return []
        found = [region for region in procfs.flagged(self.pid, b"hg") if not region.shared and not region.path]
        return [region for region in found if region.end // PMD_SIZE * PMD_SIZE - PMD_SIZE >= region.start]

    def show_to_khugepaged(self, regions: Sequence[procfs.Region]) -> None:
        """Use what is there in `regions`, and have khugepaged come to this address space until `hide_from_khugepaged`."""
        for region in regions:
            for start, length in self._present(region):
                self._ask(Op.READ, start, length)
        self._ask(Op.THP_DISABLE, 0)
        for region in regions:
            self._ask(Op.MADVISE, region.start, region.end - region.start, ADVICE["hugepage"])

    def hide_from_khugepaged(self) -> None:
        self._ask(Op.THP_DISABLE, 1)

    def _present(self, region: procfs.Region) -> list[tuple[int, int]]:
        """Runs of present pages: address and bytes."""
        with procfs.Pagemap(self.pid) as pagemap:
            there = pagemap.entries(region.start, region.end - region.start) & procfs.PM_PRESENT != 0
        edges = np.flatnonzero(np.diff(there.astype(np.int8), prepend=0, append=0)) * PAGE_SIZE + region.start
        return [(int(start), int(end - start)) for start, end in edges.reshape(-1, 2)]

    def _go_on(self) -> None:
        """The vfork child left the address space it was lent: this process' worker answers now."""
        super()._go_on()
        with suppress(WorkerDied):
            self._worker.hear("vfork")

    def wait_if_dying(self) -> None:
        """A killed process loses its memory a moment before it is gone: wait until it is."""
        if self._alive and not regions_or_none(self.pid):
            self._worker.wait()

    def _bury(self) -> None:
        """Record the end of this process, if it died by itself."""
        if self.mourn():
            self._look()

    def _gone(self) -> None:
        self._alive = False
        self._give_back()
        self._forget_pins()
        self._system.look(frozenset((self._mm,)))

    def _forget_pins(self) -> None:
        for pin in self._pins:
            self._system.recorder.unpin(pin.key)
        self._pins.clear()

    def mourn(self) -> bool:
        """Whether the process died by itself since the last operation; then it counts as ended from now on."""
        if not self._alive or not self._worker.dead():
            return False
        self._alive = False
        self._give_back()
        self._forget_pins()
        self._system.recorder.count("died")
        return True

    def end_at_close(self) -> None:
        """For the machine's close: wait until the killed process is gone; nothing is recorded any more."""
        self._alive = False
        self._worker.kill()
        self._worker.wait()
