"""`LiveMachine`: the protocol's `Machine` over real processes on the running kernel.

For scenarios, the CLI and tests. It keeps the processes and files of one world, and looks at all of it after every
operation; what it sees goes to the `Recorder`.
"""

import hashlib
import os
import platform
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal, Self

import polars as pl

from rmaplab.machine.arena import Areas, Arena, check_length, check_swap
from rmaplab.machine.arguments import checked
from rmaplab.machine.live.arena import Area
from rmaplab.machine.live.held import LiveFile
from rmaplab.machine.live.host import diskfile, knobs
from rmaplab.machine.live.host.capabilities import probe
from rmaplab.machine.live.proc.procfs import ProcessGone
from rmaplab.machine.live.process import LiveProcess
from rmaplab.machine.live.record import cow
from rmaplab.machine.live.record.observe import observe
from rmaplab.machine.live.record.recorder import Move, Recorder, Write
from rmaplab.machine.live.record.snapshot import Space
from rmaplab.machine.live.workers import ksm
from rmaplab.machine.live.workers.control import Warden, WorkerDied
from rmaplab.machine.live.workers.swap import why_not as why_no_swap
from rmaplab.machine.observation import Observation
from rmaplab.machine.protocol import PMD_ORDER, BadOperation, File, NotAvailable
from rmaplab.trace import Meta, Trace

_SALT: Final = secrets.token_bytes(16)


class LiveMachine:
    """Real processes, exact traces. Raises NotAvailable where the system does not let one look.

    `keep_pfns`: put the folios' PFNs into the trace, where others can read which physical memory was used.
    """

    name: Final = "live"

    def __init__(self, *, keep_pfns: bool = False) -> None:
        probe().require()
        self.arena = Arena()
        self.recorder = Recorder(keep_pfns)
        self._keep_pfns = keep_pfns
        self._processes: list[LiveProcess] = []
        self._files: list[LiveFile] = []
        self._mms = self._keys = 0
        self._warden = Warden()
        self._open, self._alone, self._has_ksm, self._swaps = True, False, False, False

    def spawn(self) -> LiveProcess:
        self.check_open("spawn")
        mm = self.new_mm()
        worker = self._warden.start_worker(f"process with MM {mm}")
        process = LiveProcess(self, worker, mm, Areas())
        self.adopt(process)
        self.recorder.count("spawns")
        self.look(frozenset((mm,)))
        return process

    @checked
    def file(self, length: int, *, kind: Literal["file", "shmem"] = "shmem", order: int = 0) -> LiveFile:
        """A `shmem` file is a memfd; a `file` stands on a disk file system, or NotAvailable is raised (`diskfile`)."""
        self.check_open("file")
        check_length("file", length)
        if kind not in ("file", "shmem"):
            raise BadOperation("file", f"kind {kind}", "must be file or shmem")
        if not 0 <= order <= PMD_ORDER:
            raise BadOperation("file", f"order {order}", f"must be 0..{PMD_ORDER}")
        if kind == "shmem":
            fd = os.memfd_create("rmaplab", os.MFD_CLOEXEC)
            os.ftruncate(fd, length)
        else:
            fd = diskfile.make(length, order)
        made = LiveFile(kind, length, order, fd)
        self._files.append(made)
        return made

    def merge(self) -> None:
        self.check_open("merge")
        self.require_ksm()
        self._warden.merge()
        self.recorder.count("merges")
        self.look(None)

    @checked
    def swap(self, length: int) -> None:
        """A zram device; the machine is alone on the system from now on (`alone`). Raises NotAvailable where there is no
        zram, no permission, or other swap."""
        self.check_open("swap")
        check_swap(length, again=self._swaps)
        self.alone()
        reason = why_no_swap()
        if reason:
            raise NotAvailable(f"swap: {reason}; the model has swap everywhere")
        self._warden.swap(length)
        self._swaps = True

    def processes(self) -> list[LiveProcess]:
        return [p for p in self._processes if p.alive]

    def observe(self) -> pl.DataFrame:
        return self.observation().table()

    def observation(self) -> Observation:
        """What `observe` shows, as arrays."""
        self.check_open("observe")
        return observe(self.spaces(), self.recorder.state)

    def trace(self) -> Trace:
        """Everything so far; also after `close`, and then without the end of the processes it ended."""
        host = hashlib.sha256(_SALT + platform.node().encode()).hexdigest()[:16]
        meta = Meta(
            source=self.name,
            kernel=platform.release(),
            host=host,
            pfns=self._keep_pfns,
            stats={**_NO_STATS, **self.recorder.stats, "mms": float(self._mms)},
        )
        return self.recorder.trace(meta)

    def close(self) -> None:
        if not self._open:
            return
        self._open = False
        self._warden.close()
        for process in self.processes():
            process.end_at_close()
        for file in self._files:
            os.close(file.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # What follows is for the machine's own processes.

    def check_open(self, call: str) -> None:
        if not self._open:
            raise BadOperation(call, "machine", "it is closed")

    def spaces(self) -> list[Space]:
        """One of every address space, by MM; processes that share one see the same."""
        return [space for _, space in sorted({p.mm: p.space() for p in self._processes if p.alive}.items())]

    def look(
        self, touched: frozenset[int] | None, write: Write | None = None, move: Move | None = None
    ) -> cow.Questions | None:
        """Record what an operation that may have changed the MMs `touched` (None: any) did.

        Raises WorkerDied, after recording it, if a process that had no part in it died meanwhile.
        """
        self.recorder.count("operations")
        dead = [process for process in self._processes if process.mourn()]
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
        for process in self.processes():
            process.wait_if_dying()

    @contextmanager
    def knobs_for(self, area: Area) -> Iterator[None]:
        """While this lasts, faults in `area` get folios of its order, THPs if it has none and was advised to. Only one
        machine on the system can be here."""
        if not (area.order or area.advised) or area.backing == "file":
            yield
            return
        with self._knobs(knobs.words(area.backing, area.order or PMD_ORDER)):
            yield

    @contextmanager
    def knobs_for_collapse(self, area: Area) -> Iterator[None]:
        """While this lasts, MADV_COLLAPSE works in `area` if it is shmem, whatever it was advised; anonymous memory needs
        no knob."""
        if area.backing != "shmem":
            yield
            return
        with self._knobs(knobs.collapse_words()):
            yield

    @contextmanager
    def _knobs(self, words: dict[str, list[str]]) -> Iterator[None]:
        self._warden.set_knobs(knobs.THP, words)
        try:
            yield
        finally:
            self._warden.restore_knobs()

    def require_thp(self) -> None:
        if not knobs.orders("anon"):
            raise NotAvailable(f"large folios: {knobs.THP} offers no size; order 0 works")

    def alone(self) -> None:
        """Before this machine does what the whole system feels: wait for other live machines, keep new ones out until
        `close`. Again does nothing. Raises MachineError if they keep the system for long."""
        if not self._alone:
            self._warden.alone()
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
        self._warden.borrow_ksm()
        self._has_ksm = True

    def own_file(self, call: str, file: File) -> LiveFile:
        if not isinstance(file, LiveFile) or file not in self._files:
            raise BadOperation(call, file, "not a file of this machine")
        return file

    def write_back(self) -> None:
        """Make the cached pages of all disk files clean: what becomes of a dirty page is the flusher's timing."""
        for file in self._files:
            if file.kind == "file":
                os.fsync(file.fd)

    def new_mm(self) -> int:
        self._mms += 1
        return self._mms

    def new_key(self) -> int:
        self._keys += 1
        return self._keys

    def adopt(self, process: LiveProcess) -> None:
        self._processes.append(process)


_NO_STATS: Final = dict.fromkeys(
    (
        *("operations", "spawns", "forks", "execs", "exits", "died", "merges", "background_changes"),
        *("cow_faults", "unshare_faults", "reused_pages", "copied_pages", "write_seconds", "fork_seconds"),
    ),
    0.0,
)
