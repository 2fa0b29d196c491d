"""Scenarios about partial, double, file and merged mappings, and about references that are no mappings.

For the registry in `rmaplab.scenarios`.
"""

from rmaplab.machine.protocol import PAGE_SIZE, PMD_SIZE, Machine, Process
from rmaplab.scenarios.base import Parameters, leave_one, pick, populate


def partial_unmap(machine: Machine, p: Parameters) -> None:
    """The child unmaps the first half of every folio; the parent writes one page of each folio's first half while the
    child is alive, and everything after it left."""
    parent = machine.spawn()
    address = populate(parent, p)
    child = parent.fork()
    folio = PAGE_SIZE << p.order
    half = max(folio // 2, PAGE_SIZE)
    for start in range(address, address + p.size, max(folio, 2 * PAGE_SIZE)):
        child.munmap(start, half)
    for start in range(address, address + p.size, folio):
        parent.write(start, PAGE_SIZE, 2)
    child.exit()
    parent.write(address, p.size, 3)


def mremap_twice(machine: Machine, p: Parameters) -> None:
    """One process maps the same shmem folios twice: more mappings than pages, one address space; it asks, then a
    fork shares them and asks too."""
    process = machine.spawn()
    file = machine.file(p.size, kind="shmem", order=p.order)
    address = process.mmap(p.size, order=p.order, file=file, shared=True)
    process.write(address, p.size, 1)
    again = process.mremap(address, 0, p.size, move=True)
    process.read(again, p.size)
    process.ask(address, p.size)
    child = process.fork()
    child.read(address, p.size)
    child.ask(address, p.size)
    child.exit()
    process.ask(address, p.size)


def file_shared(machine: Machine, p: Parameters) -> None:
    """k + 1 processes map one file and read it; all but one exit; the survivor asks before and after."""
    file = machine.file(p.size, kind="file", order=p.order)
    address: dict[Process, int] = {}
    for _ in range(p.k + 1):
        process = machine.spawn()
        address[process] = process.mmap(p.size, file=file, shared=True)
        process.read(address[process], p.size)
    survivor = pick(list(address), p.survivor)
    survivor.ask(address[survivor], p.size)
    leave_one(list(address), p.survivor)
    survivor.ask(address[survivor], p.size)


def ksm(machine: Machine, p: Parameters) -> None:
    """k + 1 processes that share nothing fill memory alike and let KSM merge it; one writes half of its own, which
    copies, and asks about all of it while the others are there and after they left."""
    address: dict[Process, int] = {}
    for _ in range(p.k + 1):
        process = machine.spawn()
        address[process] = populate(process, p)
        process.madvise(address[process], p.size, "mergeable")
    machine.merge()
    survivor = pick(list(address), p.survivor)
    survivor.write(address[survivor], max(p.size // 2 // PAGE_SIZE, 1) * PAGE_SIZE, 2)
    survivor.ask(address[survivor], p.size)
    leave_one(list(address), p.survivor)
    survivor.ask(address[survivor], p.size)


def pin(machine: Machine, p: Parameters) -> None:
    """An extra reference on the first page of every folio: the child leaves, the parent must not reuse what somebody
    else still reads; unpinned, the untouched rest may be reused."""
    parent = machine.spawn()
    address = populate(parent, p)
    child = parent.fork()
    folio = PAGE_SIZE << p.order
    pins = [parent.pin(start, PAGE_SIZE) for start in range(address, address + p.size, folio)]
    child.exit()
    for start in range(address, address + p.size, folio):
        parent.write(start, max(folio // 2, PAGE_SIZE), 2)
    for held in pins:
        parent.unpin(held)
    parent.write(address, p.size, 3)


def swap(machine: Machine, p: Parameters) -> None:
    """Everything is swapped out, then k children are forked; all processes read the first half of every folio back; all
    but one exit, and the survivor writes everything: what it reads alone is its own, what it shared it must prove."""
    machine.swap(4 * -(-p.size // PMD_SIZE) * PMD_SIZE)
    parent = machine.spawn()
    address = populate(parent, p)
    parent.madvise(address, p.size, "pageout")
    processes = [parent, *(parent.fork() for _ in range(p.k))]
    folio = PAGE_SIZE << p.order
    for process in processes:
        for start in range(address, address + p.size, folio):
            process.read(start, max(folio // 2, PAGE_SIZE))
    leave_one(processes, p.survivor).write(address, p.size, 2)
