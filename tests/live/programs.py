"""Random programs for a machine: fork trees, partial unmaps, remaps, writes, exits and pins over folios of one order.

Every choice comes from the seed; a program runs on any machine of the protocol.
"""

import random
from dataclasses import dataclass, field

from rmaplab.machine.protocol import PAGE_SIZE, Machine, Pin, Process

MOST_PROCESSES = 5
STEPS = 24
PAGES = {0: 16, 2: 32, 4: 64, 9: 1024}
"""Pages of the mapping, by folio order."""

WEIGHTS = {
    "write": 8,
    "fork": 5,
    "exit": 3,
    "unmap": 3,
    "remap": 2,
    "move": 1,
    "exec": 1,
    "pin": 2,
    "unpin": 2,
    "peek": 2,
    "migrate": 2,
}


@dataclass(slots=True)
class Tenant:
    """A process, and what of the first mapping it still has: (address, pages) pieces."""

    process: Process
    pieces: list[tuple[int, int]]
    pins: list[Pin] = field(default_factory=list)


def play(machine: Machine, seed: int) -> None:
    """Run the program of that seed; all its processes have ended afterwards."""
    dice = random.Random(seed)
    order = dice.choice(tuple(PAGES))
    first = machine.spawn()
    address = first.mmap(PAGES[order] * PAGE_SIZE, order=order)
    first.write(address, PAGES[order] * PAGE_SIZE)
    tenants = [Tenant(first, [(address, PAGES[order])])]
    for _ in range(STEPS):
        tenant = dice.choice(tenants)
        name = dice.choices(tuple(WEIGHTS), tuple(WEIGHTS.values()))[0]
        step(dice, name, tenant, tenants)
        if not tenants:
            return
    for tenant in tenants:
        tenant.process.exit()


def step(dice: random.Random, name: str, tenant: Tenant, tenants: list[Tenant]) -> None:
    process = tenant.process
    if name == "fork" and len(tenants) < MOST_PROCESSES:
        tenants.append(Tenant(process.fork(), list(tenant.pieces)))
    elif name == "exit":
        process.exit()
        tenants.remove(tenant)
    elif name == "exec":
        process.exec()
        tenant.pieces.clear()
        tenant.pins.clear()
    elif name == "unpin" and tenant.pins:
        process.unpin(tenant.pins.pop(dice.randrange(len(tenant.pins))))
    elif tenant.pieces:
        on_pages(dice, name, tenant)


def on_pages(dice: random.Random, name: str, tenant: Tenant) -> None:
    """What happens to a random part of a random piece, its beginning and end included often."""
    process = tenant.process
    which = dice.randrange(len(tenant.pieces))
    address, pages = tenant.pieces[which]
    low, high = sorted(dice.choice((0, pages, dice.randint(0, pages))) for _ in range(2))
    if low == high:
        low, high = 0, pages
    start, length = address + low * PAGE_SIZE, (high - low) * PAGE_SIZE
    rest = [(address, low), (address + high * PAGE_SIZE, pages - high)]
    if name == "write":
        process.write(start, length)
    elif name == "peek":
        process.peek(start, length)
    elif name == "migrate":
        process.migrate(start, length)
    elif name == "pin":
        tenant.pins.append(process.pin(start, PAGE_SIZE * dice.choice((1, high - low))))
    elif name == "unmap" and dice.random() < 0.5:
        process.madvise(start, length, "dontneed")
    elif name == "unmap":
        process.munmap(start, length)
        tenant.pieces[which : which + 1] = [piece for piece in rest if piece[1]]
    elif name == "remap":
        process.mprotect(start, length, writable=False)
        process.mprotect(start, length, writable=True)
    elif name == "move":
        new = process.mremap(start, length, length, move=True)
        tenant.pieces[which : which + 1] = [piece for piece in (*rest, (new, high - low)) if piece[1]]
