"""What the processes of one model machine share: the world of memory and address spaces, KSM, files, and the trace.

For `ModelMachine` and `ModelProcess`.
"""

from collections.abc import Iterable
from heapq import heappop, heappush

from rmaplab.machine.base import Commons
from rmaplab.machine.model.backing.pagecache import PAGE_SHIFT, ModelFile
from rmaplab.machine.model.ksm.scanner import Scanner
from rmaplab.machine.model.physical.recorder import Recorder
from rmaplab.machine.model.policy import KernelPolicy
from rmaplab.machine.model.reclaim.files import write_back
from rmaplab.machine.model.space.addressspace import World


class ModelSystem(Commons[ModelFile]):
    """A kernel and its memory."""

    def __init__(self, policy: KernelPolicy, *, recycle_ids: bool = False) -> None:
        super().__init__()
        self._recycles = recycle_ids
        self._free_ids: list[int] = []
        self.policy = policy
        self.recorder = Recorder()
        self.world = World(policy, self.recorder)
        self.memory = self.world.memory
        self.ksm = Scanner(self.world)
        self._versions = 0

    def new_mm(self) -> int:
        """The smallest rmap ID that was given back, if IDs are recycled and one was; else the next one."""
        return heappop(self._free_ids) if self._free_ids else super().new_mm()

    def retire(self, mm: int) -> None:
        """An address space has ended and maps nothing: only now may its ID go to another (proofs/, `id_reuse_safe`)."""
        if not self._recycles:
            return
        if mm in self.world.spaces or mm in self._free_ids:
            raise AssertionError(f"rmap ID {mm}: given back while it is in use")
        if mm in self.world.ksm_mms:
            self.world.ksm_mms.remove(mm)
        self.ksm.leave(mm)
        heappush(self._free_ids, mm)

    def caches(self) -> Iterable[ModelFile]:
        """Everything that caches pages, the files behind shared anonymous memory too."""
        mapped = {id(v.file): v.file for s in self.world.spaces.values() for v in s.vmas if v.file is not None}
        return ({id(file): file for file in self.files} | mapped).values()

    def anonymous_file(self, length: int, order: int) -> ModelFile:
        """The shmem file behind a shared anonymous mapping."""
        return ModelFile(self.memory, "shmem", length >> PAGE_SHIFT, order, lasting=False)

    def write_back(self) -> None:
        """Make the cached pages of all disk files clean."""
        write_back(self.world, [file for file in self.files if file.on_disk])

    def next_version(self) -> int:
        """A number for the contents one write leaves."""
        self._versions += 1
        return self._versions
