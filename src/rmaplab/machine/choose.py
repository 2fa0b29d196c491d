"""Which machine: the running kernel or the model, by name.

For commands. Importing this module loads neither; `open_machine` loads the one that is asked for.
"""

from importlib import import_module
from typing import Literal

from rmaplab.machine.protocol import Machine


def open_machine(on: Literal["live", "model"], kernel: str) -> Machine:
    """A fresh machine, to be used as a context manager. `kernel` names the model's policy, the live machine's is given.

    Raises NotAvailable where this system lacks what the live machine needs, BadOperation for an unknown policy.
    """
    made: Machine
    if on == "live":
        made = import_module("rmaplab.machine.live").LiveMachine()
    else:
        made = import_module("rmaplab.machine.model").ModelMachine(kernel=kernel)
    return made
