"""Real processes on the running kernel, and what /proc says about their memory."""

from rmaplab.machine.live.capabilities import Capabilities, Capability, probe
from rmaplab.machine.live.machine import LiveMachine

__all__ = ["Capabilities", "Capability", "LiveMachine", "probe"]
