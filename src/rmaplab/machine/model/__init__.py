"""An executable model of Linux mm: the protocol's machine without a kernel, for any kernel's rules."""

from rmaplab.machine.model.machine import ModelMachine
from rmaplab.machine.model.physical.memory import Counters, Memory, Observer
from rmaplab.machine.model.policy import KernelPolicy, LargeCow, Phase, kernels, policy_of, precise
from rmaplab.machine.model.space.addressspace import ContentLeak

__all__ = [
    "ContentLeak",
    "Counters",
    "KernelPolicy",
    "LargeCow",
    "Memory",
    "ModelMachine",
    "Observer",
    "Phase",
    "kernels",
    "policy_of",
    "precise",
]
