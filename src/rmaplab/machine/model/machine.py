"""`ModelMachine`: the protocol's `Machine` without a kernel.

For scenarios, the CLI, the differential test and the race checker. Deterministic: the same program gives the same
trace. No operation takes real memory for contents: a page is a version number and one byte.
"""

from dataclasses import asdict
from typing import Literal

from rmaplab.machine.arena import Areas, check_length, check_swap
from rmaplab.machine.arguments import checked
from rmaplab.machine.base import BaseMachine, check_hole, check_used
from rmaplab.machine.model.backing.pagecache import PAGE_SHIFT, ModelFile
from rmaplab.machine.model.backing.swapdevice import SwapSlots
from rmaplab.machine.model.calls.truncate import punch_hole, truncate
from rmaplab.machine.model.observe import observe
from rmaplab.machine.model.physical.memory import Counters, Observer
from rmaplab.machine.model.policy import KernelPolicy, policy_of
from rmaplab.machine.model.process import ModelProcess
from rmaplab.machine.model.space.addressspace import AddressSpace
from rmaplab.machine.model.system import ModelSystem
from rmaplab.machine.model.thp import khugepaged
from rmaplab.machine.observation import Observation
from rmaplab.machine.protocol import MOST_KEPT, File
from rmaplab.trace import Meta, Trace


class ModelMachine(BaseMachine[ModelProcess]):
    """A world of model processes under one kernel's rules.

    `kernel`: a name of `kernels`, `precise:SCHEME[@KERNEL]`, or a `KernelPolicy`. `observer` sees every counter change.
    `recycle_ids`: an rmap ID whose MM has ended is given to the next one, as an allocator does; else none comes again.
    """

    def __init__(
        self, kernel: str | KernelPolicy = "linux-6.18", *, observer: Observer | None = None, recycle_ids: bool = False
    ) -> None:
        self.policy = policy_of(kernel) if isinstance(kernel, str) else kernel
        self._system = ModelSystem(self.policy, recycle_ids=recycle_ids)
        self.recorder, self.world, self.memory = self._system.recorder, self._system.world, self._system.memory
        self.memory.observer = observer
        self._processes: list[ModelProcess] = []
        super().__init__(self._processes)

    @property
    def name(self) -> str:
        return f"model:{self.policy.name}"

    @property
    def statistics(self) -> Counters:
        """Faults, COW reuses and copies, splits, and pages of memory now and at most, so far."""
        return self.memory.counters

    def spawn(self) -> ModelProcess:
        self._system.check_open("spawn")
        process = ModelProcess(self._system, AddressSpace(self.world, self._system.new_mm()), Areas(), self._processes)
        self.recorder.tick()
        return process

    @checked
    def file(self, length: int, *, kind: Literal["file", "shmem"] = "shmem", order: int = 0) -> ModelFile:
        self._system.check_open("file")
        check_length("file", length, MOST_KEPT)
        made = ModelFile(self.memory, kind, length >> PAGE_SHIFT, order)
        self._system.files.append(made)
        return made

    @checked
    def truncate(self, file: File, length: int) -> None:
        self._system.check_open("truncate")
        own = self._system.own_file("truncate", file)
        check_length("truncate", length, MOST_KEPT)
        if own.on_disk:
            self._system.write_back()
        truncate(self.world, own, length >> PAGE_SHIFT, self._system.next_version())

    @checked
    def punch_hole(self, file: File, offset: int, length: int) -> None:
        self._system.check_open("punch_hole")
        own = self._system.own_file("punch_hole", file)
        check_hole(offset, length, own)
        if own.on_disk:
            self._system.write_back()
        punch_hole(self.world, own, offset >> PAGE_SHIFT, length >> PAGE_SHIFT, self._system.next_version())

    def merge(self) -> None:
        self._system.check_open("merge")
        self._system.ksm.merge()

    @checked
    def khugepaged(self, *, max_none: int = 511, max_swap: int = 64, max_shared: int = 256) -> None:
        self._system.check_open("khugepaged")
        found = [vma for space in self.world.spaces.values() for vma in khugepaged.visited(space) if not vma.readable]
        check_used("khugepaged", found[0].start << PAGE_SHIFT if found else None)
        khugepaged.scan(self.world, khugepaged.Limits(max_none, max_swap, max_shared))

    @checked
    def swap(self, length: int) -> None:
        self._system.check_open("swap")
        check_swap(length, again=self.world.swap.device is not None)
        self.world.swap.device = SwapSlots(length >> PAGE_SHIFT, fills_free=self.policy.swap_fills_free)

    def observation(self) -> Observation:
        self._system.check_open("observe")
        return observe(self.memory, list(self.world.spaces.values()))

    def trace(self) -> Trace:
        stats = {name: float(value) for name, value in asdict(self.statistics).items()}
        meta = Meta(source="model", kernel=self.policy.name, stats={**stats, "mms": float(self._system.mms)})
        return self.recorder.trace(meta)

    def close(self) -> None:
        self._system.open = False

    @property
    def bytes(self) -> int:
        """What the model itself holds of frames, folios and page tables (the trace aside)."""
        leaves = {
            id(leaf): leaf.bytes
            for process in self.processes()
            for region in process.space.table.regions
            for leaf in region.leaves.values()
        }
        return self.memory.bytes + sum(leaves.values())
