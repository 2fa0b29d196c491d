"""Every planted fault finds its line, wherever in the model it stands; else `make mutants` would miss it after hours."""

from pathlib import Path

from faults.planted import PLANTED

import rmaplab.machine.model


def test_every_planted_fault_names_a_text_that_occurs_once_in_the_model() -> None:
    files = Path(rmaplab.machine.model.__path__[0]).rglob("*.py")
    source = "\n".join(file.read_text() for file in files)
    assert {fault.name: times for fault in PLANTED if (times := source.count(fault.old)) != 1} == {}
