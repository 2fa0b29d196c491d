"""Looks at tenants, in this process or in a place of its own, and what they say of one mapping."""

import json
from collections.abc import Callable
from typing import Any

from places import HERE, Place
from tenants import PAGE, Tenant

from rmaplab.inspect.look import Look, look
from rmaplab.inspect.probes import KernelView
from rmaplab.inspect.snapshot import of_pids
from rmaplab.inspect.views import Row, rows


def look_at(view: KernelView, *tenants: Tenant, write: bool = False, family: bool = False) -> Look:
    """A look at some tenants from here, with addresses."""
    pids = [t.pid for t in tenants]
    return look(lambda mms: of_pids(mms, pids), view, write=write, family=family, addresses=True)


def apart(tenant: Tenant, length: int) -> int:
    """Address of room for `length` bytes that nothing will be mapped beside: a VMA put there (MAP_FIXED) stays one."""
    return tenant.map(length + 2 * PAGE, prot=0) + PAGE


def area(found: Look, tenant: Tenant, at: int) -> Row:
    """The row of the tenant's VMA that begins at `at`."""
    return next(r for r in rows(found.scope, "vma") if r["pid"] == tenant.pid and r["start"] == f"{at:x}")


def inspect(pid: int, *words: str, place: Place = HERE) -> dict[str, Any]:
    """What `rmaplab inspect PID WORDS --json` says there."""
    done = place.rmaplab("inspect", pid, *words, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def areas(said: dict[str, Any], at: int) -> Row:
    """The row of the VMA at `at` in the JSON of --by vma --addresses."""
    return next(r for r in said["rows"] if r["start"] == f"{at:x}")


def shows_every_time(check: Callable[[], None], times: int = 3) -> None:
    """`check` in fresh processes; its failure counts only if it comes every time.

    Between a look and a write the kernel may move a page (compaction) or hold it for a moment (LRU batches, DAMON): such
    a page gets another frame although the rule keeps it. A wrong rule is wrong every time.
    """
    for left in reversed(range(times)):
        try:
            check()
        except AssertionError:
            if not left:
                raise
        else:
            return
