"""Scenarios about fork: who is left, and may it write in place?

For the registry in `rmaplab.scenarios`. Every function takes a fresh machine and ends with the writes that ask.
"""

from random import Random

from rmaplab.machine.protocol import PAGE_SIZE, Machine
from rmaplab.scenarios.base import Parameters, leave_one, populate


def fork_exit_write(machine: Machine, p: Parameters) -> None:
    """The child leaves, then the parent writes everything."""
    parent = machine.spawn()
    address = populate(parent, p)
    parent.fork().exit()
    parent.write(address, p.size, 2)


def vfork(machine: Machine, p: Parameters) -> None:
    """A vfork child writes its parent's memory and calls exec; the parent writes everything: nothing was ever shared
    between two address spaces, so nothing is copied."""
    parent = machine.spawn()
    address = populate(parent, p)
    child = parent.vfork()
    child.ask(address, p.size)
    child.write(address, p.size, 2)
    child.exec()
    parent.ask(address, p.size)
    parent.write(address, p.size, 3)


def unshare(machine: Machine, p: Parameters) -> None:
    """Somebody reads the parent's memory from outside while the child is alive, and again after it left: the pages the
    parent still shares are copied for a reader, and those it copied are its own when it writes."""
    parent = machine.spawn()
    address = populate(parent, p)
    child = parent.fork()
    half = max(p.size // 2, PAGE_SIZE)
    parent.peek(address, half)
    child.exit()
    parent.peek(address, p.size)
    parent.write(address, p.size, 2)


def fork_child_writes(machine: Machine, p: Parameters) -> None:
    """The parent leaves, then the child writes everything."""
    parent = machine.spawn()
    address = populate(parent, p)
    child = parent.fork()
    parent.exit()
    child.write(address, p.size, 2)


def fork_exec_write(machine: Machine, p: Parameters) -> None:
    """The child replaces its address space by exec, then the parent writes everything."""
    parent = machine.spawn()
    address = populate(parent, p)
    parent.fork().exec()
    parent.write(address, p.size, 2)


def prefork(machine: Machine, p: Parameters) -> None:
    """k workers from one parent; all processes but one exit; the survivor writes everything."""
    parent = machine.spawn()
    address = populate(parent, p)
    workers = [parent.fork() for _ in range(p.k)]
    leave_one([parent, *workers], p.survivor).write(address, p.size, 2)


def chain(machine: Machine, p: Parameters) -> None:
    """A fork of a fork of a fork, k generations deep; all but one exit; the survivor writes everything."""
    processes = [machine.spawn()]
    address = populate(processes[0], p)
    for _ in range(p.k):
        processes.append(processes[-1].fork())
    leave_one(processes, p.survivor).write(address, p.size, 2)


def snapshot(machine: Machine, p: Parameters) -> None:
    """A server forks a snapshot and keeps writing random runs of pages; the snapshot reads all and exits; the
    server goes on writing everything."""
    random = Random(p.seed)
    server = machine.spawn()
    address = populate(server, p)
    child = server.fork()
    pages = p.size // PAGE_SIZE
    for _ in range(8):
        run = random.randint(1, max(1, pages // 16))
        start = random.randrange(pages - run + 1)
        server.write(address + start * PAGE_SIZE, run * PAGE_SIZE, 2)
    child.read(address, p.size)
    child.exit()
    server.write(address, p.size, 3)
