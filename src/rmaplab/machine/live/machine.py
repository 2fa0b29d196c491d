"""`LiveMachine`: the protocol's `Machine` over real processes on the running kernel.

For scenarios, the CLI and tests. It keeps the processes and files of one world, and looks at all of it after every
operation; what it sees goes to the `Recorder`.
"""

import hashlib
import os
import platform
import secrets
from typing import Final, Literal

from rmaplab.machine.arena import Areas, check_length, check_swap
from rmaplab.machine.arguments import checked
from rmaplab.machine.base import BaseMachine, check_hole, check_used
from rmaplab.machine.live.held import LiveFile
from rmaplab.machine.live.host import diskfile, knobs
from rmaplab.machine.live.host.capabilities import probe
from rmaplab.machine.live.process import LiveProcess
from rmaplab.machine.live.record.observe import observe
from rmaplab.machine.live.record.recorder import Recorder
from rmaplab.machine.live.system import LiveSystem
from rmaplab.machine.live.workers.swap import why_not as why_no_swap
from rmaplab.machine.observation import Observation
from rmaplab.machine.protocol import MOST_KEPT, File, NotAvailable
from rmaplab.trace import Meta, Trace

_SALT: Final = secrets.token_bytes(16)


class LiveMachine(BaseMachine[LiveProcess]):
    """Real processes, exact traces. Raises NotAvailable where the system does not let one look.

    `keep_pfns`: put the folios' PFNs into the trace, where others can read which physical memory was used.
    """

    @property
    def name(self) -> str:
        return "live"

    def __init__(self, *, keep_pfns: bool = False) -> None:
        probe().require()
        self._keep_pfns = keep_pfns
        self._processes: list[LiveProcess] = []
        super().__init__(self._processes)
        self.recorder = Recorder(keep_pfns)
        self._system = LiveSystem(self.recorder, self._processes)
        self._warden = self._system.warden
        self.alone, self.knobs_for = self._system.alone, self._system.knobs_for
        self._swaps = False

    def spawn(self) -> LiveProcess:
        self._system.check_open("spawn")
        mm = self._system.new_mm()
        worker = self._warden.start_worker(f"process with MM {mm}")
        process = LiveProcess(self._system, worker, mm, Areas(), self._processes)
        self.recorder.count("spawns")
        self._system.look(frozenset((mm,)))
        return process

    @checked
    def file(self, length: int, *, kind: Literal["file", "shmem"] = "shmem", order: int = 0) -> LiveFile:
        """A `shmem` file is a memfd; a `file` stands on a disk file system, or NotAvailable is raised (`diskfile`)."""
        self._system.check_open("file")
        check_length("file", length, MOST_KEPT)
        if kind == "shmem":
            fd = os.memfd_create("rmaplab", os.MFD_CLOEXEC)
            os.ftruncate(fd, length)
        else:
            fd = diskfile.make(length, order)
        made = LiveFile(kind, length, order, fd)
        self._system.files.append(made)
        return made

    @checked
    def truncate(self, file: File, length: int) -> None:
        self._system.check_open("truncate")
        own = self._system.own_file("truncate", file)
        check_length("truncate", length, MOST_KEPT)
        if own.kind == "file":
            self._system.write_back()
        elif self._swaps and length < own.length:
            with diskfile.one_cpu():
                # Kernels never come back from truncating within a large folio in swap (findings/).
                os.pread(own.fd, 1, length)
        if length != own.length:
            with diskfile.one_cpu():
                os.ftruncate(own.fd, length)
        own.length = length
        self._system.look(None)

    @checked
    def punch_hole(self, file: File, offset: int, length: int) -> None:
        self._system.check_open("punch_hole")
        own = self._system.own_file("punch_hole", file)
        check_hole(offset, length, own)
        if own.kind == "file":
            self._system.write_back()
        with diskfile.one_cpu():
            diskfile.punch_hole(own.fd, offset, length)
        self._system.look(None)

    def merge(self) -> None:
        self._system.check_open("merge")
        self._system.require_ksm()
        self._warden.merge()
        self.recorder.count("merges")
        self._system.look(None)

    @checked
    def khugepaged(self, *, max_none: int = 511, max_swap: int = 64, max_shared: int = 256) -> None:
        """The system's own, hurried, while all of this machine's knobs are as it needs them. It visits others too, but no
        other machine's process may have THPs meanwhile."""
        self._system.check_open("khugepaged")
        if not knobs.KHUGEPAGED.exists():
            raise NotAvailable(f"khugepaged: {knobs.KHUGEPAGED} is not there")
        shown = {process.mm: process for process in reversed(self.processes()) if not process.waits}
        regions = {mm: process.hugepage_regions() for mm, process in sorted(shown.items())}
        check_used("khugepaged", next((r.start for each in regions.values() for r in each if not r.readable), None))
        visited = {mm: found for mm, found in regions.items() if found}
        with self._system.knobs(knobs.khugepaged_words(max_none, max_swap, max_shared)):
            try:
                for mm, found in visited.items():
                    shown[mm].show_to_khugepaged(found)
                self._warden.khugepaged()
            finally:
                # Before the limits are the system's again: a scan under way holds the lock that this waits for.
                for mm in visited:
                    shown[mm].hide_from_khugepaged()
        self._system.look(None)

    @checked
    def swap(self, length: int) -> None:
        """A zram device; the machine is alone on the system from now on (`alone`). Raises NotAvailable where there is no
        zram, no permission, or other swap."""
        self._system.check_open("swap")
        check_swap(length, again=self._swaps)
        self.alone()
        reason = why_no_swap()
        if reason:
            raise NotAvailable(f"swap: {reason}; the model has swap everywhere")
        self._warden.swap(length)
        self._swaps = True

    def observation(self) -> Observation:
        self._system.check_open("observe")
        return observe(self._system.spaces(), self.recorder.state)

    def trace(self) -> Trace:
        """Everything so far; also after `close`, and then without the end of the processes it ended."""
        host = hashlib.sha256(_SALT + platform.node().encode()).hexdigest()[:16]
        meta = Meta(
            source=self.name,
            kernel=platform.release(),
            host=host,
            pfns=self._keep_pfns,
            stats={**_NO_STATS, **self.recorder.stats, "mms": float(self._system.mms)},
        )
        return self.recorder.trace(meta)

    def close(self) -> None:
        if not self._system.open:
            return
        self._system.open = False
        self._warden.close()
        for process in self.processes():
            process.end_at_close()
        for file in self._system.files:
            os.close(file.fd)


_NO_STATS: Final = dict.fromkeys(
    (
        *("operations", "spawns", "forks", "execs", "exits", "died", "merges", "background_changes"),
        *("cow_faults", "unshare_faults", "reused_pages", "copied_pages", "write_seconds", "fork_seconds"),
    ),
    0.0,
)
