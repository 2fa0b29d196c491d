"""`ModelProcess`: the protocol's `Process` over an `AddressSpace`.

For `ModelMachine`. Checks the program's arguments, turns bytes into pages, and leaves the work to the operations'
modules. A refused operation has changed nothing.
"""

import time
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rmaplab.machine.arena import Area, Areas, check_length, refuse_beyond, refuse_guard
from rmaplab.machine.arguments import checked
from rmaplab.machine.base import (
    LOCK_FORBIDS,
    BaseProcess,
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
from rmaplab.machine.model.backing.pagecache import PAGE_SHIFT
from rmaplab.machine.model.calls import uffd
from rmaplab.machine.model.calls.advice import ADVICE
from rmaplab.machine.model.calls.fork import fork
from rmaplab.machine.model.calls.lock import lock, populate, unlock
from rmaplab.machine.model.calls.migrate import migrate
from rmaplab.machine.model.calls.move import duplicate, protect, relocate, unmap
from rmaplab.machine.model.calls.pin import ModelPin, hold, pin_longterm
from rmaplab.machine.model.faults import fault, remote
from rmaplab.machine.model.space.addressspace import AddressSpace
from rmaplab.machine.model.space.folio import Folio, folio_at
from rmaplab.machine.model.space.questions import ask
from rmaplab.machine.model.space.vma import Vma
from rmaplab.machine.model.system import ModelSystem
from rmaplab.machine.protocol import (
    MOST_KEPT,
    MOST_LENGTH,
    PAGE_SIZE,
    PMD_ORDER,
    Advice,
    BadOperation,
    File,
    Pin,
    Process,
    Written,
)

Need = Literal["any", "mapped", "readable", "writable"]
"""What every page of a range must be."""


class ModelProcess(BaseProcess[Area, ModelPin]):
    """One process of the model; it joins `family`, all processes of its machine."""

    def __init__(
        self, system: ModelSystem, space: AddressSpace, areas: Areas[Area], family: list["ModelProcess"]
    ) -> None:
        super().__init__(system, areas)
        self._system, self.space, self._family = system, space, family
        family.append(self)

    @property
    def mm(self) -> int:
        return self.space.mm

    @property
    def vmas(self) -> list[Vma]:
        """Its VMAs, ascending."""
        return list(self.space.vmas)

    @checked
    def folio(self, address: int) -> Folio | None:
        """The folio mapped at `address`, as it is now; None where none is. Changes nothing."""
        self._check_alive("folio")
        page = address >> PAGE_SHIFT
        return folio_at(self.space, page) if self.space.vmas.within(page, page + 1) else None

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
        backing = self._system.own_file("mmap", file) if file is not None else None
        check_offset(offset, length, backing)
        if not (self._system.policy.mthp or order == PMD_ORDER or file is not None):
            order = 0
        if over is None:
            order = order or (backing.order if backing is not None else 0)
            address = self._system.arena.take("mmap", length)
            self.space.table.add(address >> PAGE_SHIFT, length >> PAGE_SHIFT)
        else:
            address, order = over, self._clear(over, length, order)
        if backing is None and shared:
            backing = self._system.anonymous_file(length, order)
        start, pages = address >> PAGE_SHIFT, length >> PAGE_SHIFT
        thp = order > 0 and not (backing is not None and backing.on_disk)
        pgoff = start if backing is None else offset >> PAGE_SHIFT
        self.space.vmas.add(Vma(start, start + pages, order, shared=shared, file=backing, pgoff=pgoff, thp=thp))
        if over is not None:
            self.space.vmas.merge(start, start + pages)
        self._areas.add(Area(address, length, order))
        self._system.recorder.tick()
        return address

    def _clear(self, over: int, length: int, order: int) -> int:
        """Make room for memory at `over`; the order it gets."""
        area = self._areas.around("mmap", over, length)
        check_over(area, order)
        start, end = over >> PAGE_SHIFT, (over + length) >> PAGE_SHIFT
        first, size = self._areas.run(area)
        self.space.table.keep(first >> PAGE_SHIFT, size >> PAGE_SHIFT)
        if self.space.vmas.within(start, end):
            unmap(self.space, start, end)
        self._areas.cut_out(area, over, length)
        return area.order

    @checked
    def munmap(self, address: int, length: int) -> None:
        start, end = self._range("munmap", address, length, "any")
        area = self._areas.around("munmap", address, length)
        if self.space.vmas.within(start, end):
            unmap(self.space, start, end)
        if (address, address + length) == (area.start, area.end):
            self._areas.drop(area)

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
        start, end = self._range("mremap", address, old_length or PAGE_SIZE, "mapped")
        check_length("mremap", new_length)
        if move or dontunmap:
            moving = self.space.vmas.within(start, end)
            check_uffd_moves(len(moving), tracked=any(each.uffd for each in moving))
        vma = self._vma("mremap", start, end, alone=new_length > old_length)
        if (move or dontunmap) and not self._system.policy.moves_several:
            self._shrink_first(start, end, start + (new_length >> PAGE_SHIFT))
        if move and 0 < new_length < old_length:
            # Several VMAs move together only as they are: one that shrinks on the way is to be one (EFAULT).
            self._vma("mremap", start, start + (new_length >> PAGE_SHIFT), alone=True)
        check_mremap(old_length, new_length, shared=vma.shared, dontunmap=dontunmap)
        if not (move or dontunmap or not old_length):
            self._resize(vma, address, old_length, new_length)
            return address
        target = self._system.arena.take("mremap", new_length)
        order = self._areas.around("mremap", address, old_length or PAGE_SIZE).order
        self._areas.add(Area(target, new_length, order))
        to, new_pages = target >> PAGE_SHIFT, new_length >> PAGE_SHIFT
        if old_length:
            self._move(start, old_length >> PAGE_SHIFT, to, new_pages, dontunmap)
        else:
            duplicate(self.space, vma, start, to, new_pages)
        populate(self.space, to + (old_length >> PAGE_SHIFT), to + new_pages)
        return target

    def _shrink_first(self, start: int, end: int, new_end: int) -> None:
        """Kernels that move one VMA at a time look for it only once they have unmapped what is to go (mremap_to())."""
        if start < new_end < end:
            unmap(self.space, new_end, end)
            end = new_end
        self._vma("mremap", start, end, alone=True)

    def _move(self, start: int, pages: int, to: int, new_pages: int, dontunmap: bool) -> None:
        area = self._areas.around("mremap", start << PAGE_SHIFT, pages << PAGE_SHIFT)
        if new_pages < pages and self._system.policy.moves_several:
            unmap(self.space, start + new_pages, start + pages)
        step = self._system.recorder.tick()
        self.space.table.add(to, new_pages)
        for vma in self.space.vmas.within(start, start + min(pages, new_pages)):
            lo, hi = max(vma.start, start), min(vma.end, start + pages, start + new_pages)
            grown = max(new_pages - pages, 0)
            relocate(self.space, vma, lo, hi - lo, to + lo - start, hi - lo + grown, step, keep_source=dontunmap)
        if not dontunmap and (area.start, area.end) == (start << PAGE_SHIFT, (start + pages) << PAGE_SHIFT):
            self._areas.drop(area)

    def _resize(self, vma: Vma, address: int, old_length: int, new_length: int) -> None:
        area = self._areas.around("mremap", address, old_length)
        end, new_end = address + old_length, address + new_length
        if new_length > old_length:
            if end != area.end:
                raise BadOperation("mremap", f"new_length {new_length}", "only the end of a mapping can grow in place")
            self._areas.check_room("mremap", area, new_end)
            self._system.arena.grow("mremap", area, new_end - area.start)
            region = self.space.table.region(vma.start)
            self.space.table.grow(region, (new_end >> PAGE_SHIFT) - region.start)
            vma.end = new_end >> PAGE_SHIFT
            vma.place()
            self._system.recorder.tick()
            populate(self.space, end >> PAGE_SHIFT, vma.end)
        elif new_length < old_length:
            unmap(self.space, new_end >> PAGE_SHIFT, end >> PAGE_SHIFT)
        if end == area.end:
            self._areas.replace(area, length=new_end - area.start)

    @checked
    def mprotect(self, address: int, length: int, *, writable: bool, readable: bool = True) -> None:
        start, end = self._range("mprotect", address, length, "mapped")
        check_protection(writable=writable, readable=readable)
        protect(self.space, start, end, writable=writable, readable=readable)

    @checked
    def madvise(self, address: int, length: int, advice: Advice, *, by: Process | None = None) -> None:
        start, end = self._range("madvise", address, length, "mapped")
        if by is not None:
            check_adviser(self._family, by, advice)
        if advice == "populate_write":
            self._range("madvise populate_write", address, length, "writable")
            self._check_present("madvise populate_write", start, end)
            fault.populate_write(self.space, start, end)
            return
        if advice == "populate_read":
            self._range("madvise populate_read", address, length, "readable")
            self._check_present("madvise populate_read", start, end)
        if advice in ("cold", "pageout"):
            self._system.write_back()
        if advice not in ADVICE:
            raise BadOperation("madvise", advice, "not in the model yet")
        vmas = self.space.vmas.within(start, end)
        check_guards(advice, ordinary=advice != "guard_install" or all(v.anonymous for v in vmas))
        locked = [vma for vma in vmas if vma.locked and advice in LOCK_FORBIDS]
        if locked:
            end = max(locked[0].start, start)
        if start < end:
            ADVICE[advice](self.space, start, end)
        if locked:
            raise BadOperation("madvise", advice, f"page {end << PAGE_SHIFT:#x} is locked")

    @checked
    def mlock(self, address: int, length: int) -> None:
        start, end = self._range("mlock", address, length, "readable")
        self._check_present("mlock", start, end)
        lock(self.space, start, end)

    @checked
    def munlock(self, address: int, length: int) -> None:
        unlock(self.space, *self._range("munlock", address, length, "mapped"))

    @checked
    def uffd_wp(self, address: int, length: int, *, protected: bool = True) -> None:
        start, end = self._range("uffd_wp", address, length, "mapped")
        ordinary = all(vma.anonymous and vma.private for vma in self.space.vmas.within(start, end))
        check_uffd("uffd_wp", ordinary=ordinary, users=self.space.users)
        (uffd.protect if protected else uffd.resolve)(self.space, start, end)
        self._areas.uffd = True

    @checked
    def thp_disable(self, disabled: bool = True) -> None:
        self._check_alive("thp_disable")
        self.space.thp_disabled = disabled
        self._system.recorder.tick()

    @checked
    def read(self, address: int, length: int) -> NDArray[np.uint8]:
        start, end = self._range("read", address, length, "readable")
        self._check_present("read", start, end)
        return fault.read(self.space, start, end)

    @checked
    def write(self, address: int, length: int, value: int = 1) -> Written:
        start, end = self._range("write", address, length, "writable")
        self._check_present("write", start, end)
        clock = time.perf_counter()
        tally = fault.write(self.space, start, end, value, self._system.next_version())
        return Written(end - start, tally.reused, tally.copied, time.perf_counter() - clock)

    @checked
    def peek(self, address: int, length: int) -> NDArray[np.uint8]:
        start, end = self._range("peek", address, length, "readable")
        self._check_present("peek", start, end)
        return remote.peek(self.space, start, end)

    @checked
    def poke(self, address: int, length: int, value: int = 1) -> Written:
        start, end = self._range("poke", address, length, "mapped")
        if self._vma("poke", start, end, alone=False).shared:
            self._range("poke", address, length, "writable")
        self._check_present("poke", start, end)
        clock = time.perf_counter()
        tally = remote.poke(self.space, start, end, value, self._system.next_version())
        return Written(end - start, tally.reused, tally.copied, time.perf_counter() - clock)

    @checked
    def read_direct(self, address: int, length: int, value: int = 1) -> Written:
        start, end = self._range("read_direct", address, length, "writable")
        check_direct(length)
        self._check_present("read_direct", start, end)
        clock = time.perf_counter()
        tally = remote.read_direct(self.space, start, end, value, self._system.next_version())
        return Written(end - start, tally.reused, tally.copied, time.perf_counter() - clock)

    @checked
    def migrate(self, address: int, length: int, *, shared: bool = False) -> int:
        start, end = self._range("migrate", address, length, "mapped")
        return migrate(self.space, start, end, self._system.caches(), self._system.ksm, shared=shared)

    @checked
    def ask(self, address: int, length: int) -> None:
        ask(self.space, *self._range("ask", address, length, "any"))

    def fork(self) -> "ModelProcess":
        self._check_alive("fork")
        space = fork(self.space, self._system.new_mm())
        return ModelProcess(self._system, space, self._areas.copy(), self._family)

    def vfork(self) -> "ModelProcess":
        child = self._share("vfork")
        self._lend_to(child)
        return child

    def clone_vm(self) -> "ModelProcess":
        return self._share("clone_vm")

    def _share(self, call: str) -> "ModelProcess":
        self._check_alive(call)
        check_uffd_alone(call, uffd=self._areas.uffd)
        self.space.users += 1
        self._system.recorder.tick()
        return ModelProcess(self._system, self.space, self._areas, self._family)

    def exec(self) -> None:
        self._check_alive("exec")
        disabled = self.space.thp_disabled
        self._leave()
        self.space = AddressSpace(self._system.world, self._system.new_mm(), thp_disabled=disabled)
        self._areas = Areas()

    def exit(self) -> None:
        self._check_alive("exit")
        self._leave()
        self._alive = False

    def _leave(self) -> None:
        """Leave the address space, and unmap everything if nobody else is left in it (mmput()); pins go with the process
        that holds them."""
        step = self._system.recorder.tick()
        self._give_back()
        self.space.users -= 1
        if not self.space.users:
            for vma in self.space.vmas:
                self.space.zap(vma.start, vma.end, step)
            self.space.table.drop()
            del self._system.world.spaces[self.mm]
            self._system.world.forget_unmapped()
            self._system.retire(self.mm)
        for pin in self._pins:
            self._system.memory.drop(pin.slots, longterm=pin.longterm)
        self._pins.clear()

    @checked
    def pin(self, address: int, length: int, *, longterm: bool = False) -> Pin:
        start, end = self._range("pin", address, length, "writable" if longterm else "readable")
        self._check_present("pin", start, end)
        slots = pin_longterm(self.space, start, end) if longterm else hold(self.space, start, end)
        pin = ModelPin(end - start, longterm, slots)
        self._pins.append(pin)
        return pin

    def unpin(self, pin: Pin) -> None:
        own = self._own_pin(pin)
        self._pins.remove(own)
        self._system.memory.drop(own.slots, longterm=own.longterm)

    def _range(self, call: str, address: int, length: int, need: Need) -> tuple[int, int]:
        """The virtual pages of the range, or BadOperation: it must lie in one area, and be `need` throughout."""
        self._check_alive(call)
        self._areas.around(call, address, length)
        start, end = address >> PAGE_SHIFT, (address + length) >> PAGE_SHIFT
        page = start
        for vma in self.space.vmas.within(start, end):
            if need == "any" or (vma.start <= page and (need == "mapped" or getattr(vma, need))):
                page = vma.end
        if need != "any" and page < end:
            rule = f"page {page << PAGE_SHIFT:#x} is not {'mapped' if need == 'mapped' else f'mapped {need}'}"
            raise BadOperation(call, f"[{address:#x}, {address + length:#x})", rule)
        return start, end

    def _check_present(self, call: str, start: int, end: int) -> None:
        """Raise BadOperation where a page lies beyond its file's end, or is a guard: a fault is a SIGBUS, a SIGSEGV."""
        if self._system.world.guards and (page := self.space.first_guard(start, end)) is not None:
            refuse_guard(call, start << PAGE_SHIFT, end << PAGE_SHIFT, page << PAGE_SHIFT)
        for vma in self.space.vmas.within(start, end):
            if vma.file is not None and vma.offset_of(min(end, vma.end)) > vma.file.pages:
                page = max(start, vma.start + vma.file.pages - vma.pgoff)
                refuse_beyond(call, start << PAGE_SHIFT, end << PAGE_SHIFT, page << PAGE_SHIFT)

    def _vma(self, call: str, start: int, end: int, *, alone: bool) -> Vma:
        """The first VMA of the range; `alone`: which must be its only one."""
        vmas = self.space.vmas.within(start, end)
        if alone and len(vmas) > 1:
            raise BadOperation(call, f"[{start << PAGE_SHIFT:#x}, {end << PAGE_SHIFT:#x})", "must lie within one VMA")
        return vmas[0]
