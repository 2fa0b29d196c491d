"""What the running kernel must offer for tests on it, and a live machine for one of them."""

from collections.abc import Callable, Iterator
from typing import Final

import pytest

from rmaplab.errors import NotAvailable
from rmaplab.machine.live import LiveMachine, probe

_WANTED: Final = ("pfns", "kpageflags", "pmd_ranges", "anon_exclusive", "thp", "mthp", "shmem_thp", "knobs")


def lacking(*more: str) -> str:
    """Why those tests, which want `more` besides, cannot run here; "" if they can."""
    capabilities = probe()
    items = [capabilities[name] for name in (*_WANTED, *more)]
    return "; ".join(f"no live machine: {item.name}: {item.why_not}" for item in items if not item.here)


def live_machine(*needs: Callable[[], object]) -> Iterator[LiveMachine]:
    """A live machine of one test's own; skips with the reason where it, or one of `needs`, cannot be had."""
    try:
        probe().require()
        for need in needs:
            need()
    except NotAvailable as reason:
        pytest.skip(str(reason))
    with LiveMachine() as made:
        yield made
