"""How inspector tests ask, and find the mapping they built in the answer."""

import pytest

from rmaplab.inspect.look import Look, look
from rmaplab.inspect.probes import KernelView
from rmaplab.inspect.snapshot import of_pids
from rmaplab.inspect.views import Row, rows
from rmaplab.machine.live import LiveMachine
from rmaplab.machine.live import probe as live_probe
from rmaplab.machine.live.process import LiveProcess


def fresh(machine: LiveMachine) -> LiveProcess:
    """A process that shares no heap with the one all machines and workers are forked from: prices are of all it maps."""
    process = machine.spawn()
    process.exec()
    return process


def look_at(view: KernelView, *processes: LiveProcess, write: bool = False) -> Look:
    """An answer about some live processes, with addresses."""
    return look(lambda mms: of_pids(mms, [p.pid for p in processes]), view, write=write, addresses=True)


def area(found: Look, process: LiveProcess, address: int) -> Row:
    """The VMA row of a process' mapping at `address`."""
    return next(r for r in rows(found.scope, "vma") if r["pid"] == process.pid and r["start"] == f"{address:x}")


def need_order(order: int) -> None:
    """Skip where folios of that order cannot be had."""
    if order and order not in live_probe().anon_orders:
        pytest.skip(f"anonymous folios of order {order} cannot be had here")
