"""`ModelMachine`: the protocol's `Machine` without a kernel.

For scenarios, the CLI, the differential test and the race checker. Deterministic: the same program gives the same
trace. No operation takes real memory for contents: a page is a version number and one byte.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Literal, Self

import polars as pl

from rmaplab.machine.arena import Areas, Arena, check_length, check_swap
from rmaplab.machine.arguments import checked
from rmaplab.machine.model.backing.pagecache import PAGE_SHIFT, ModelFile
from rmaplab.machine.model.backing.swapdevice import SwapSlots
from rmaplab.machine.model.ksm.scanner import Scanner
from rmaplab.machine.model.observe import observe
from rmaplab.machine.model.physical.memory import Counters, Memory, Observer
from rmaplab.machine.model.physical.recorder import Recorder
from rmaplab.machine.model.policy import KernelPolicy, policy_of
from rmaplab.machine.model.process import ModelProcess
from rmaplab.machine.model.reclaim.files import write_back
from rmaplab.machine.model.space.addressspace import AddressSpace
from rmaplab.machine.observation import Observation
from rmaplab.machine.protocol import PMD_ORDER, BadOperation, File
from rmaplab.trace import Meta, Trace


class ModelMachine:
    """A world of model processes under one kernel's rules.

    `kernel`: a name of `kernels`, `precise:SCHEME`, or a `KernelPolicy`. `observer` sees every counter change.
    """

    def __init__(self, kernel: str | KernelPolicy = "linux-6.18", *, observer: Observer | None = None) -> None:
        self.policy = policy_of(kernel) if isinstance(kernel, str) else kernel
        self.recorder = Recorder()
        self.memory = Memory(self.policy, self.recorder)
        self.memory.observer = observer
        self.arena = Arena()
        self.memory.ksm = Scanner(self.memory)
        self._processes: list[ModelProcess] = []
        self._files: list[ModelFile] = []
        self._mms = self._versions = 0
        self._open = True

    @property
    def name(self) -> str:
        return f"model:{self.policy.name}"

    @property
    def statistics(self) -> Counters:
        """Faults, COW reuses and copies, splits, and pages of memory now and at most, so far."""
        return self.memory.counters

    def spawn(self) -> ModelProcess:
        self.check_open("spawn")
        process = ModelProcess(self, AddressSpace(self.memory, self.new_mm()), Areas())
        self.adopt(process)
        self.recorder.tick()
        return process

    @checked
    def file(self, length: int, *, kind: Literal["file", "shmem"] = "shmem", order: int = 0) -> ModelFile:
        self.check_open("file")
        check_length("file", length)
        if kind not in ("file", "shmem"):
            raise BadOperation("file", f"kind {kind}", "must be file or shmem")
        if not 0 <= order <= PMD_ORDER:
            raise BadOperation("file", f"order {order}", f"must be 0..{PMD_ORDER}")
        made = ModelFile(self.memory, kind, length >> PAGE_SHIFT, order)
        self._files.append(made)
        return made

    def merge(self) -> None:
        self.check_open("merge")
        self.memory.ksm.merge()

    @checked
    def swap(self, length: int) -> None:
        self.check_open("swap")
        check_swap(length, again=self.memory.swap is not None)
        self.memory.swap = SwapSlots(length >> PAGE_SHIFT)

    def processes(self) -> Sequence[ModelProcess]:
        return [p for p in self._processes if p.alive]

    def observe(self) -> pl.DataFrame:
        return self.observation().table()

    def observation(self) -> Observation:
        """What `observe` shows, as arrays."""
        self.check_open("observe")
        return observe(self.memory, list(self.memory.spaces.values()))

    def trace(self) -> Trace:
        stats = {name: float(value) for name, value in asdict(self.statistics).items()}
        meta = Meta(source="model", kernel=self.policy.name, stats={**stats, "mms": float(self._mms)})
        return self.recorder.trace(meta)

    def close(self) -> None:
        self._open = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # What follows is for the machine's own processes.

    def check_open(self, call: str) -> None:
        """Raise BadOperation if the machine is closed."""
        if not self._open:
            raise BadOperation(call, "machine", "it is closed")

    def own_file(self, call: str, file: File) -> ModelFile:
        """`file`, which must be one of this machine's."""
        if not isinstance(file, ModelFile) or file not in self._files:
            raise BadOperation(call, file, "not a file of this machine")
        return file

    def files(self) -> Iterable[ModelFile]:
        """Everything that caches pages, the files behind shared anonymous memory too."""
        mapped = {id(v.file): v.file for p in self.processes() for v in p.space.vmas if v.file is not None}
        return ({id(file): file for file in self._files} | mapped).values()

    def anonymous_file(self, length: int, order: int) -> ModelFile:
        """The shmem file behind a shared anonymous mapping."""
        return ModelFile(self.memory, "shmem", length >> PAGE_SHIFT, order, lasting=False)

    def write_back(self) -> None:
        """Make the cached pages of all disk files clean."""
        write_back(self.memory, [file for file in self._files if file.on_disk])

    def new_mm(self) -> int:
        """The next rmap ID."""
        self._mms += 1
        return self._mms

    def next_version(self) -> int:
        """A number for the contents one write leaves."""
        self._versions += 1
        return self._versions

    def adopt(self, process: ModelProcess) -> None:
        """A process joins the world."""
        self._processes.append(process)

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
