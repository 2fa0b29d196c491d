"""Programs against the machine protocol, by name. They import the protocol and nothing else of a machine."""

from types import MappingProxyType
from typing import Final

from rmaplab.machine.protocol import BadOperation
from rmaplab.scenarios import forks, mappings
from rmaplab.scenarios.base import Parameters, Scenario

SCENARIOS: Final = MappingProxyType(
    {
        scenario.name: scenario
        for scenario in (
            Scenario("fork-exit-write", "the child left, the parent writes", forks.fork_exit_write),
            Scenario("fork-child-writes", "the parent left, the child writes", forks.fork_child_writes),
            Scenario("fork-exec-write", "the child called exec, the parent writes", forks.fork_exec_write),
            Scenario("vfork", "the child borrows the memory until it calls exec, the parent writes", forks.vfork),
            Scenario("prefork", "k workers from one parent, one survivor of them all writes", forks.prefork),
            Scenario("chain", "a fork of a fork of a fork, k deep, one survivor writes", forks.chain),
            Scenario(
                "partial-unmap", "the child unmapped half of every folio, the parent writes", mappings.partial_unmap
            ),
            Scenario("mremap-twice", "one process maps the same pages twice and asks", mappings.mremap_twice),
            Scenario("snapshot", "a server forks, keeps writing, the child reads and exits", forks.snapshot),
            Scenario("file-shared", "k + 1 processes map one file, one survivor asks", mappings.file_shared),
            Scenario("unshare", "a reader from outside (a FOLL_PIN for reading) unshares pages", forks.unshare),
            Scenario("ksm", "k + 1 processes with equal memory merge it, one writes half and asks", mappings.ksm),
            Scenario("swap", "all is swapped out, forked and read back, one survivor writes", mappings.swap),
            Scenario("pin", "an extra reference forbids reuse until it is dropped", mappings.pin),
        )
    }
)


def find(name: str) -> Scenario:
    """The scenario of that name; BadOperation if there is none."""
    if name not in SCENARIOS:
        raise BadOperation("scenario", repr(name), f"must be one of {', '.join(SCENARIOS)}")
    return SCENARIOS[name]


__all__ = ["SCENARIOS", "Parameters", "Scenario", "find"]
