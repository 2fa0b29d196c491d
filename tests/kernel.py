"""What the running kernel must offer for tests that hold the model against it."""

from typing import Final

from rmaplab.machine.live import probe

_WANTED: Final = ("pfns", "kpageflags", "pmd_ranges", "anon_exclusive", "thp", "mthp", "shmem_thp", "knobs")


def lacking(*more: str) -> str:
    """Why those tests, which want `more` besides, cannot run here; "" if they can."""
    capabilities = probe()
    items = [capabilities[name] for name in (*_WANTED, *more)]
    return "; ".join(f"no live machine: {item.name}: {item.why_not}" for item in items if not item.here)
