"""A program as a Python script that anybody can run, on the live kernel or on the model.

For mismatch reports. The script needs the two machines and `rmaplab.machine.differential.program`, nothing else.
"""

from dataclasses import fields

from rmaplab.machine.differential.program import Program, Step

_HEAD = '''"""{why}

Run with `live` or the name of a kernel (`linux-6.18`) as argument: prints every answer, then the world.
"""

import sys

from rmaplab.machine.differential.program import Run, Step
from rmaplab.machine.live import LiveMachine
from rmaplab.machine.model import ModelMachine

PROGRAM = (
{steps}
)

with LiveMachine() if sys.argv[1] == "live" else ModelMachine(sys.argv[1]) as machine:
    run = Run(machine)
    for step in PROGRAM:
        print(step.do, run.do(step))
    print(machine.observe())
'''


def script(program: Program, why: str) -> str:
    """The text of a script that does `program`; `why` says what is wrong with it."""
    return _HEAD.format(why=why, steps="\n".join(f"    {_call(step)}," for step in program))


def _call(step: Step) -> str:
    given = {f.name: getattr(step, f.name) for f in fields(step) if f.name == "do" or getattr(step, f.name) != f.default}
    arguments = [repr(given.pop("do")), *(f"{name}={value!r}" for name, value in given.items())]
    return f"Step({', '.join(arguments)})"
