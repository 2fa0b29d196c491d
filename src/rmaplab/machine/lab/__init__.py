"""The lab: the live machine inside a booted kernel, driven from here.

For `open_machine`. `machine` is the host's side, `serve` runs in the guest, `wire` is what they say to each other.
"""

from rmaplab.machine.lab.machine import LabMachine

__all__ = ["LabMachine"]
