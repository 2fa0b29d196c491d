"""Programs against the machine protocol, by name. They import the protocol and nothing else of a machine."""

from types import MappingProxyType
from typing import Final

from rmaplab.machine.protocol import BadOperation
from rmaplab.names import must_be
from rmaplab.scenarios import forks, mappings
from rmaplab.scenarios.base import CHOICES, MAX_PROCESSES, Parameters, Scenario

_MAPPING: Final = frozenset({"mapping"})
_PEERS: Final = frozenset({"k", "survivor"})

SCENARIOS: Final = MappingProxyType(
    {
        scenario.name: scenario
        for scenario in (
            Scenario("fork-exit-write", "the child left, the parent writes", forks.fork_exit_write, _MAPPING),
            Scenario("fork-child-writes", "the parent left, the child writes", forks.fork_child_writes, _MAPPING),
            Scenario("fork-exec-write", "the child called exec, the parent writes", forks.fork_exec_write, _MAPPING),
            Scenario(
                "vfork", "the child borrows the memory until it calls exec, the parent writes", forks.vfork, _MAPPING
            ),
            Scenario(
                "prefork", "k workers from one parent, one survivor of them all writes", forks.prefork, _PEERS | _MAPPING
            ),
            Scenario("chain", "a fork of a fork of a fork, k deep, one survivor writes", forks.chain, _PEERS | _MAPPING),
            Scenario(
                "partial-unmap",
                "the child unmapped half of every folio, the parent writes",
                mappings.partial_unmap,
                _MAPPING,
            ),
            Scenario("mremap-twice", "one process maps the same pages twice and asks", mappings.mremap_twice),
            Scenario(
                "snapshot",
                "a server forks, keeps writing, the child reads and exits",
                forks.snapshot,
                _MAPPING | {"seed"},
            ),
            Scenario("file-shared", "k + 1 processes map one file, one survivor asks", mappings.file_shared, _PEERS),
            Scenario("unshare", "a reader from outside (a FOLL_PIN for reading) unshares pages", forks.unshare, _MAPPING),
            Scenario(
                "ksm",
                "k + 1 processes with equal memory merge it, one writes half and asks",
                mappings.ksm,
                _PEERS | _MAPPING,
            ),
            Scenario(
                "swap", "all is swapped out, forked and read back, one survivor writes", mappings.swap, _PEERS | _MAPPING
            ),
            Scenario("pin", "an extra reference forbids reuse until it is dropped", mappings.pin, _MAPPING),
        )
    }
)


def find(name: str) -> Scenario:
    """The scenario of that name; BadOperation if there is none."""
    if name not in SCENARIOS:
        raise BadOperation("scenario", repr(name), must_be(name, SCENARIOS))
    return SCENARIOS[name]


__all__ = ["CHOICES", "MAX_PROCESSES", "SCENARIOS", "Parameters", "Scenario", "find"]
