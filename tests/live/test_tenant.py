"""The routine of processes that share memory knows the words of the wire, every one."""

import re
from pathlib import Path

from rmaplab.machine.live.workers import sharing
from rmaplab.machine.live.workers.wire import Op

SOURCE = (Path(sharing.__file__).parent / "tenant.c").read_text()


def test_the_routine_numbers_the_operations_as_the_wire_does() -> None:
    body = re.search(r"enum op \{(.*?)\};", SOURCE, re.DOTALL)
    assert body is not None
    names = re.findall(r"OP_(\w+)", body.group(1))
    assert {name: number for number, name in enumerate(names, 1)} == {op.name: op.value for op in Op}


def test_the_routine_does_every_operation() -> None:
    done = set(re.findall(r"(?:case|== )\s*OP_(\w+)", SOURCE))
    assert done == {op.name for op in Op}
