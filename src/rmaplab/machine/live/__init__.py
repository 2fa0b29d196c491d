"""Real processes on the running kernel, and what /proc says about their memory.

The names below are imported when first asked for: `rmaplab.inspect` needs the reader of /proc in here, but not the
tables and workers of a live machine, which take longer to load than a whole inspection takes.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rmaplab.machine.live.host.capabilities import Capabilities, Capability, probe
    from rmaplab.machine.live.machine import LiveMachine

__all__ = ["Capabilities", "Capability", "LiveMachine", "probe"]

_HOME: Final = dict.fromkeys(__all__, "host.capabilities") | {"LiveMachine": "machine"}

if not TYPE_CHECKING:  # so that type checkers miss what is not there

    def __getattr__(name: str) -> Any:
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
