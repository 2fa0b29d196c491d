"""Which machine: the running kernel, the model, or a kernel booted for it, by name.

For commands. Importing this module loads none; `open_machine` loads the one that is asked for.
"""

from importlib import import_module
from typing import Literal

from rmaplab.machine.protocol import Machine

On = Literal["live", "model", "lab"]


def open_machine(on: On, kernel: str) -> Machine:
    """A fresh machine, to be used as a context manager. `kernel` names the model's policy, or what the lab boots ("7.3",
    "7.3,scheme=packed", a directory); the live machine's is given.

    Raises NotAvailable where this system lacks what the machine needs, RmaplabError for an unknown kernel.
    """
    made: Machine
    if on == "live":
        made = import_module("rmaplab.machine.live").LiveMachine()
    elif on == "lab":
        made = import_module("rmaplab.machine.lab").LabMachine(kernel)
    else:
        made = import_module("rmaplab.machine.model").ModelMachine(kernel=kernel)
    return made
