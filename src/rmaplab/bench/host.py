"""Facts about the host that a time means nothing without.

For the results of `rmaplab bench`. Names no user and no path.
"""

import os
import platform
from pathlib import Path

from rmaplab.core import load
from rmaplab.proctext import fields


def host_facts() -> dict[str, object]:
    """CPU, kernel, compiler of the interpreter, load, and what the core found out about the CPU."""
    core = load()
    return {
        "cpu": _cpu_model(),
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "seqcount_bits": core.lib.rmap_seqcount_bits(),
        "packed_read": "vmovdqa" if core.lib.rmap_has_vector_read() else "cmpxchg16b",
    }


def _cpu_model() -> str:
    return fields(Path("/proc/cpuinfo").read_bytes()).get("model name") or platform.processor() or "unknown"


def pinned_cpus() -> tuple[int, int]:
    """The two CPUs that threads 0 and 1 are pinned to; the same one twice if there is no other."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]
