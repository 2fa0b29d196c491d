"""`LiveProcess`: the protocol's `Process` over one worker.

Checks the program's arguments, has the worker do the operation, and has the machine look (`Attended`).
"""

import mmap
import os
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from rmaplab.machine.arena import Areas, check_length, check_range
from rmaplab.machine.arguments import checked
from rmaplab.machine.base import (
    check_adviser,
    check_direct,
    check_guards,
    check_mremap,
    check_offset,
    check_over,
    check_protection,
    check_uffd,
    check_uffd_alone,
    check_uffd_moves,
)
from rmaplab.machine.live.arena import Area, Backing, check_mapped
from rmaplab.machine.live.attended import Attended
from rmaplab.machine.live.held import ADVICE, LiveFile, LivePin
from rmaplab.machine.live.host import diskfile
from rmaplab.machine.live.proc import procfs
from rmaplab.machine.live.proc.procfs import regions_or_none
from rmaplab.machine.live.record import cow
from rmaplab.machine.live.record.recorder import Move, Write
from rmaplab.machine.live.system import LiveSystem
from rmaplab.machine.live.workers import sharing
from rmaplab.machine.live.workers.control import Worker, WorkerDied, fork_worker
from rmaplab.machine.live.workers.wire import Op
from rmaplab.machine.protocol import (
    MOST_KEPT,
    MOST_LENGTH,
    PAGE_SIZE,
    Advice,
    BadOperation,
    File,
    Pin,
    Process,
    Written,
)

_MPOL_MF_MOVE, _MPOL_MF_MOVE_ALL = 2, 4
_MADV_RANDOM: Final = 1
_MAP_FIXED: Final = 0x10
_MAP_FIXED_NOREPLACE: Final = 0x10_0000
_MREMAP_MAYMOVE, _MREMAP_FIXED, _MREMAP_DONTUNMAP = 1, 2, 4


class LiveProcess(Attended):
    """One real process. Every method is one operation: one step of the trace, or one per fault of a write.

    It joins `family`, all processes of its machine.
    """

    def __init__(
        self, system: LiveSystem, worker: Worker, mm: int, areas: Areas[Area], family: list["LiveProcess"]
    ) -> None:
        super().__init__(system, worker, mm, areas)
        self._family = family
        family.append(self)

    @checked
    def mmap(
        self,
        length: int,
        *,
        order: int = 0,
        file: File | None = None,
        offset: int = 0,
        shared: bool = False,
        over: int | None = None,
    ) -> int:
        self._check_alive("mmap")
        check_length("mmap", length, MOST_KEPT if shared else MOST_LENGTH)
        ours = self._system.own_file("mmap", file) if file is not None else None
        check_offset(offset, length, ours)
        flags, fd = mmap.MAP_SHARED if shared else mmap.MAP_PRIVATE, -1
        backing: Backing = "shmem" if shared else "anon"
        if ours is None:
            flags |= mmap.MAP_ANONYMOUS
        else:
            order, backing, fd = order or (ours.order if over is None else 0), ours.kind, ours.fd
        if over is None:
            address, below = self._system.arena.take("mmap", length), None
            flags |= _MAP_FIXED_NOREPLACE
        else:
            address, below = over, self._areas.around("mmap", over, length)
            check_over(below, order)
            flags, order = flags | _MAP_FIXED, below.order
        if ours is None and shared:
            ours = LiveFile("shmem", length, order, -1)
        area = Area(address, length, order, backing, shared, file=ours)
        advice = _MADV_RANDOM if area.backing == "file" else ADVICE["hugepage"] if area.wants_thp else 0
        if advice == ADVICE["hugepage"]:
            self._system.require_thp()
        self._ask(Op.MMAP, address, length, mmap.PROT_READ | mmap.PROT_WRITE, flags, advice, offset, fd=fd)
        if below is not None:
            self._areas.cut_out(below, address, length)
        self._areas.add(area)
        self._look()
        return address

    @checked
    def munmap(self, address: int, length: int) -> None:
        area = self._area("munmap", address, length)
        self._ask(Op.MUNMAP, address, length)
        if (address, length) == (area.start, area.length):
            self._areas.drop(area)
        self._look()

    @checked
    def mremap(
        self,
        address: int,
        old_length: int,
        new_length: int,
        *,
        move: bool = False,
        dontunmap: bool = False,
    ) -> int:
        area = self._area("mremap", address, old_length or PAGE_SIZE)
        check_mremap(old_length, new_length, shared=area.shared, dontunmap=dontunmap)
        check_range("mremap", address, new_length)
        check_mapped("mremap", self.pid, address, old_length or PAGE_SIZE)
        if self._areas.uffd and (move or dontunmap):
            end = address + old_length
            moving = [region for region in regions_or_none(self.pid, end) if region.start < end and address < region.end]
            tracked = {r.start for r in procfs.flagged(self.pid, b"uw")}
            check_uffd_moves(len(moving), tracked=any(region.start in tracked for region in moving))
        if not (move or dontunmap or not old_length):
            return self._resize(area, address, old_length, new_length)
        flags = _MREMAP_MAYMOVE | _MREMAP_FIXED | (_MREMAP_DONTUNMAP if dontunmap else 0)
        with self._system.arena.unless_refused():
            target = self._system.arena.take("mremap", new_length)
            try:
                self._ask_populating(Op.MREMAP, area, address, old_length, new_length, flags, target)
            except BadOperation:
                self._look()  # up to 6.16 what is to go is gone before the kernel looks at the rest
                raise
        self._areas.add(Area(target, new_length, area.order, area.backing, area.shared, area.advised, area.file))
        if (address, old_length) == (area.start, area.length) and not dontunmap:
            self._areas.drop(area)
        # Shared pages may stay unmapped at the new place, to be faulted in again: whatever moved, moved.
        self._look(move=Move(self._mm, address, target, min(old_length, new_length)))
        return target

    def _resize(self, area: Area, address: int, old_length: int, new_length: int) -> int:
        if new_length > old_length:
            if address + old_length != area.end:
                raise BadOperation("mremap", f"new_length {new_length}", "only the end of a mapping can grow in place")
            self._areas.check_room("mremap", area, address + new_length)
            with self._system.arena.unless_refused():
                self._system.arena.grow("mremap", area, address + new_length - area.start)
                self._ask_populating(Op.MREMAP, area, address, old_length, new_length, 0, 0)
        else:
            self._ask(Op.MREMAP, address, old_length, new_length, 0, 0)
        if address + old_length == area.end:
            self._areas.replace(area, length=address + new_length - area.start)
        self._look()
        return address

    @checked
    def mprotect(self, address: int, length: int, *, writable: bool, readable: bool = True) -> None:
        area = self._area("mprotect", address, length)
        check_mapped("mprotect", self.pid, address, length)
        check_protection(writable=writable, readable=readable)
        protection = (mmap.PROT_READ if readable else 0) | (mmap.PROT_WRITE if writable else 0)
        opened = self._private(address, length, locked=True, writable=False) if writable else ()
        if opened:
            self._settle("mprotect")
        self._ask_populating(Op.MPROTECT, area, address, length, protection)
        self._look_at_parts(address, length, opened)

    @checked
    def madvise(self, address: int, length: int, advice: Advice, *, by: Process | None = None) -> None:
        area = self._area("madvise", address, length)
        check_mapped("madvise", self.pid, address, length)
        adviser = self if by is None else check_adviser(self._family, by, advice)
        if advice == "populate_write":
            self._check_access("madvise populate_write", area, address, length, "writable")
            self._write_by(Op.MADVISE, area, address, length, ADVICE[advice])
            return
        if advice == "populate_read":
            self._check_access("madvise populate_read", area, address, length, "readable")
        if advice in ("cold", "pageout"):
            self._system.write_back()
        if advice == "mergeable":
            self._system.require_ksm()
        check_guards(advice, ordinary=area.backing == "anon" and not area.shared)
        self._system.guards |= advice == "guard_install"
        if advice in ("hugepage", "nohugepage"):
            self._areas.replace(area, advised=advice == "hugepage")
        try:
            if advice == "populate_read":
                self._ask_faulting(Op.MADVISE, area, address, length, ADVICE[advice])
            elif advice == "collapse":
                with self._system.knobs_for_collapse(area):
                    self._advise(adviser, address, length, ADVICE[advice], thp=not self._areas.thp_disabled)
            else:
                self._advise(adviser, address, length, ADVICE[advice])
        finally:
            # A refused collapse may have collapsed some blocks before.
            self._system.look(None)

    def _advise(self, adviser: "LiveProcess", address: int, length: int, advice: int, *, thp: bool = False) -> None:
        """The system call, by this process or another one; `thp`: this one may have THPs meanwhile."""
        if adviser is self:
            self._ask(Op.MADVISE, address, length, advice, thp=thp)
            return
        target = os.pidfd_open(self.pid)
        try:
            if thp:
                self._ask(Op.THP_DISABLE, 0)
            adviser.advise_other(address, length, advice, target)
        finally:
            os.close(target)
            if thp:
                self._ask(Op.THP_DISABLE, 1)

    def advise_other(self, address: int, length: int, advice: int, target: int) -> None:
        """process_madvise() on the process behind the pidfd `target`."""
        self._ask(Op.PROCESS_MADVISE, address, length, advice, fd=target)

    @checked
    def mlock(self, address: int, length: int) -> None:
        area = self._area("mlock", address, length)
        self._check_access("mlock", area, address, length, "readable")
        self._settle("mlock")
        written = self._private(address, length, locked=None, writable=True)
        self._system.locks = True
        self._ask_faulting(Op.MLOCK, area, address, length)
        self._look_at_parts(address, length, written)

    @checked
    def munlock(self, address: int, length: int) -> None:
        self._area("munlock", address, length)
        check_mapped("munlock", self.pid, address, length)
        self._ask(Op.MUNLOCK, address, length)
        self._look()

    @checked
    def uffd_wp(self, address: int, length: int, *, protected: bool = True) -> None:
        area = self._area("uffd_wp", address, length)
        check_mapped("uffd_wp", self.pid, address, length)
        users = sum(process.alive and process.mm == self.mm for process in self._family)
        check_uffd("uffd_wp", ordinary=area.backing == "anon" and not area.shared, users=users)
        self._ask(Op.UFFD_WP, address, length, int(protected))
        self._areas.uffd = True
        self._look()

    @checked
    def thp_disable(self, disabled: bool = True) -> None:
        self._check_alive("thp_disable")
        self._areas.thp_disabled = disabled
        self._look()

    @checked
    def read(self, address: int, length: int) -> NDArray[np.uint8]:
        area = self._area("read", address, length)
        self._check_access("read", area, address, length, "readable")
        answer = self._ask_faulting(Op.READ, area, address, length)
        self._look()
        return np.frombuffer(answer.payload, np.uint8)

    @checked
    def write(self, address: int, length: int, value: int = 1) -> Written:
        area = self._area("write", address, length)
        self._check_access("write", area, address, length, "writable")
        return self._write_by(Op.WRITE, area, address, length, value)

    @checked
    def peek(self, address: int, length: int) -> NDArray[np.uint8]:
        area = self._area("peek", address, length)
        self._check_access("peek", area, address, length, "readable")
        self._settle("peek")
        answer = self._ask_faulting(Op.PEEK, area, address, length)
        self._look(write=Write(self._mm, address, length, "unshare"))
        return np.frombuffer(answer.payload, np.uint8)

    @checked
    def poke(self, address: int, length: int, value: int = 1) -> Written:
        area = self._area("poke", address, length)
        self._check_access("poke", area, address, length, "writable" if area.shared else "any")
        return self._write_by(Op.POKE, area, address, length, value)

    @checked
    def read_direct(self, address: int, length: int, value: int = 1) -> Written:
        area = self._area("read_direct", address, length)
        check_direct(length)
        self._check_access("read_direct", area, address, length, "writable")
        with diskfile.source(length, value) as fd:
            return self._write_by(Op.DIRECT, area, address, length, fd=fd)

    @checked
    def migrate(self, address: int, length: int, *, shared: bool = False) -> int:
        self._area("migrate", address, length)
        check_mapped("migrate", self.pid, address, length)
        self._settle("migrate")
        recorder = self._system.recorder
        before, step = recorder.state, recorder.builder.step
        self._ask(Op.MIGRATE, address, length, _MPOL_MF_MOVE_ALL if shared else _MPOL_MF_MOVE)
        self._system.look(None)
        return recorder.migrated(before, self._mm, address, length, None if shared else step)

    def _write_by(self, op: Op, area: Area, address: int, length: int, argument: int = 0, fd: int = -1) -> Written:
        self._settle("write")
        recorder = self._system.recorder
        answer = self._ask_faulting(op, area, address, length, argument, fd=fd)
        holds = op in (Op.PIN_LONGTERM, Op.DIRECT)
        questions = self._look(write=Write(self._mm, address, length, holds=holds))
        recorder.count("write_seconds", answer.seconds)
        reused, copied = (questions.count(o) if questions else 0 for o in (cow.REUSED, cow.COPIED))
        return Written(length // PAGE_SIZE, reused, copied, answer.seconds)

    @checked
    def ask(self, address: int, length: int) -> None:
        self._area("ask", address, length)
        self._settle("ask")
        recorder = self._system.recorder
        recorder.ask(self._mm, address, length)
        recorder.count("operations")

    def fork(self) -> "LiveProcess":
        self._check_alive("fork")
        mm = self._system.new_mm()
        try:
            worker, seconds = fork_worker(self._worker, f"process with MM {mm}")
        except WorkerDied:
            self._bury()
            raise
        child = LiveProcess(self._system, worker, mm, self._areas.copy(), self._family)
        self._system.recorder.count("forks")
        self._system.recorder.count("fork_seconds", seconds)
        self._system.look(frozenset((self._mm, mm)))
        return child

    def vfork(self) -> "LiveProcess":
        child = self._share(Op.VFORK)
        self._lend_to(child)
        return child

    def clone_vm(self) -> "LiveProcess":
        return self._share(Op.CLONE_VM)

    def _share(self, op: Literal[Op.VFORK, Op.CLONE_VM]) -> "LiveProcess":
        self._check_alive(op.name.lower())
        check_uffd_alone(op.name.lower(), uffd=self._areas.uffd)
        try:
            worker = sharing.start(self._worker, op, f"process with MM {self._mm}")
        except WorkerDied:
            self._bury()
            raise
        child = LiveProcess(self._system, worker, self._mm, self._areas, self._family)
        self._look()
        return child

    def exec(self) -> None:
        self._check_alive("exec")
        old, self._mm = self._mm, self._system.new_mm()
        self._areas = Areas(thp_disabled=self._areas.thp_disabled)
        self._worker.name = f"process with MM {self._mm}"
        self._ask(Op.EXEC)
        self._give_back()
        self._forget_pins()
        self._system.recorder.count("execs")
        self._system.look(frozenset((old, self._mm)))

    def exit(self) -> None:
        self._check_alive("exit")
        self._worker.end()
        self._system.recorder.count("exits")
        self._gone()

    @checked
    def pin(self, address: int, length: int, *, longterm: bool = False) -> Pin:
        area = self._area("pin", address, length)
        self._check_access("pin", area, address, length, "writable" if longterm else "readable")
        pin = LivePin(length // PAGE_SIZE, self._system.new_key(), self._mm)
        if longterm:
            self._write_by(Op.PIN_LONGTERM, area, address, length, pin.key)
        else:
            self._ask_faulting(Op.PIN, area, address, length, pin.key)
            self._look()
        self._system.recorder.pin(pin.key, self._mm, address, length)
        self._pins.append(pin)
        return pin

    def unpin(self, pin: Pin) -> None:
        own = self._own_pin(pin)
        self._ask(Op.UNPIN, own.key)
        self._pins.remove(own)
        self._system.recorder.unpin(own.key)
        self._look()
