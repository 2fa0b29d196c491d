"""The series' eight operations on 1 GiB of PTE-mapped THP: the model against the running kernel, in one process run.

    python benchmarks/model.py [--mib 1024] [--rounds 3]

Each round does every operation once on the kernel (in this process and children of fork) and once on the model, so
that drift hits both; the table shows medians and their ratio. Times are this process' CPU time, system calls
included: what others on the machine take away is not counted. `cow` and `cow-reuse` write every byte on the kernel; the
model's pages have one byte, so there they are the `-byte` operation again. pte-dontneed advises one page in 64 (and is
multiplied up), remap protects one page of every THP. Then the model's memory, and its scale test.
"""

import argparse
import ctypes
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable

from rmaplab.machine.model import ModelMachine
from rmaplab.machine.model.process import ModelProcess

PAGE, THP = 4096, 2 << 20
DONTNEED_EVERY = 64
OPERATIONS = ("remap", "munmap", "fork", "cow", "cow-byte", "cow-reuse", "cow-reuse-byte", "pte-dontneed")

_libc = ctypes.CDLL(None, use_errno=True)
_P, _L, _I = ctypes.c_void_p, ctypes.c_long, ctypes.c_int
_libc.mmap.restype = _P
_libc.mmap.argtypes = [_P, _L, _I, _I, _I, _L]
_libc.munmap.argtypes = [_P, _L]
_libc.madvise.argtypes = _libc.mprotect.argtypes = [_P, _L, _I]
_libc.memset.argtypes = [_P, _I, _L]

Times = dict[str, float]


def _timed(action: Callable[[], object]) -> float:
    start = time.process_time()
    action()
    return time.process_time() - start


def _check(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class Kernel:
    """1 GiB of THP in this process."""

    def __init__(self, size: int) -> None:
        self.size = size
        got = _libc.mmap(None, size + THP, 3, 0x22, -1, 0)
        self.area = got
        self.start = -(-got // THP) * THP
        _check(_libc.madvise(self.start, size, 14))
        _libc.memset(self.start, 1, size)

    def remap(self) -> None:
        for at in range(self.start, self.start + self.size, THP):
            _check(_libc.mprotect(at, PAGE, 1))

    def ready(self) -> None:
        _check(_libc.mprotect(self.start, self.size, 3))

    def munmap(self) -> None:
        _check(_libc.munmap(self.area, self.size + THP))

    def write(self, *, byte: bool) -> None:
        if not byte:
            _libc.memset(self.start, 2, self.size)
            return
        pages = memoryview((ctypes.c_ubyte * self.size).from_address(self.start)).cast("B")[::PAGE]
        pages[:] = bytes(len(pages))

    def dontneed(self) -> None:
        for at in range(self.start, self.start + self.size, PAGE * DONTNEED_EVERY):
            _check(_libc.madvise(at, PAGE, 4))

    def child(self, *, alive: bool) -> tuple[float, Callable[[], None]]:
        """Fork; the child waits, or is gone on return. Returns the seconds fork took, and how to end the child."""
        hold, release = os.pipe()
        start = time.process_time()
        pid = os.fork()
        if not pid:
            os.close(release)
            if alive:
                os.read(hold, 1)
            os._exit(0)
        seconds = time.process_time() - start
        os.close(hold)

        def end() -> None:
            os.close(release)
            os.waitpid(pid, 0)

        if not alive:
            end()
            return seconds, lambda: None
        return seconds, end


def on_kernel(size: int) -> Times:
    times: Times = {}
    for name in ("cow", "cow-byte", "cow-reuse", "cow-reuse-byte", "pte-dontneed"):
        memory = Kernel(size)
        times["remap"] = _timed(memory.remap)
        memory.ready()
        if name == "pte-dontneed":
            times[name] = _timed(memory.dontneed) * DONTNEED_EVERY
        else:
            times["fork"], end = memory.child(alive="reuse" not in name)
            byte = name.endswith("byte")
            times[name] = _timed(lambda m=memory, b=byte: m.write(byte=b))  # type: ignore[misc]
            end()
        times["munmap"] = _timed(memory.munmap) if "reuse" in name else times.get("munmap", 0.0)
        if "reuse" not in name:
            memory.munmap()
    return times


def _thp(machine: ModelMachine, size: int) -> tuple[ModelProcess, int, float]:
    process = machine.spawn()
    address = process.mmap(size, order=9)
    process.write(address, size)

    def remap() -> None:
        for at in range(address, address + size, THP):
            process.mprotect(at, PAGE, writable=False)

    seconds = _timed(remap)
    process.mprotect(address, size, writable=True)
    return process, address, seconds


def on_model(size: int) -> Times:
    times: Times = {}
    for name, alive in (("cow", True), ("cow-reuse", False)):
        machine = ModelMachine()
        process, address, times["remap"] = _thp(machine, size)
        times["fork"] = _timed(process.fork)
        if not alive:
            machine.processes()[1].exit()
        times[name] = times[f"{name}-byte"] = _timed(lambda p=process, a=address: p.write(a, size))  # type: ignore[misc]
        if not alive:
            times["munmap"] = _timed(lambda p=process, a=address: p.munmap(a, size))  # type: ignore[misc]
    process, address, _ = _thp(ModelMachine(), size)

    def dontneed() -> None:
        for at in range(address, address + size, PAGE * DONTNEED_EVERY):
            process.madvise(at, PAGE, "dontneed")

    times["pte-dontneed"] = _timed(dontneed) * DONTNEED_EVERY
    return times


def memory_per_page(size: int) -> float:
    """Bytes the model holds per mapped page, with everything COWed into small folios by the child."""
    machine = ModelMachine()
    process, address, _ = _thp(machine, size)
    process.fork().write(address, size)
    return machine.bytes / (2 * size / PAGE)


def scale(mms: int, shared: int, sparse: int) -> str:
    """`mms` address spaces share `shared` bytes, and one maps `sparse` bytes and touches a page in 1 GiB of it."""
    machine = ModelMachine()
    start = time.process_time()
    process = machine.spawn()
    region = process.mmap(shared, order=9)
    process.write(region, shared)
    for _ in range(mms - 1):
        process.fork()
    child = machine.processes()[-1]
    child.write(region, 16 * PAGE)
    wide = child.mmap(sparse)
    for at in range(wide, wide + sparse, 1 << 30):
        child.write(at, PAGE)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    return (
        f"{mms} MMs share {shared >> 30} GiB, {sparse >> 40} TiB mapped: {time.process_time() - start:.1f} s, "
        f"frames, folios and page tables {machine.bytes >> 20} MiB, process peak {peak} MiB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    size = options.mib << 20
    print("scale test", file=sys.stderr, flush=True)
    large = scale(10_000, 2 << 30, 1 << 40)  # first: the process' peak memory is to be the model's, not the rounds'
    rounds = []
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
        rounds.append((on_kernel(size), on_model(size)))
    print(f"{'operation':16}{'kernel ms':>12}{'model ms':>12}{'ratio':>8}")
    for name in OPERATIONS:
        kernel, model = (statistics.median(r[side][name] for r in rounds) * 1e3 for side in (0, 1))
        print(f"{name:16}{kernel:12.2f}{model:12.2f}{model / kernel:8.2f}")
    print(f"model bytes per mapped page: {memory_per_page(size):.1f}")
    print(large)


if __name__ == "__main__":
    main()
