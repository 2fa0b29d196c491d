"""Which commands exist, with the line each has in the list of `--help`. Loads next to nothing."""

from types import MappingProxyType
from typing import Final

COMMANDS: Final = MappingProxyType(
    {
        "demo": "See on this kernel which schemes are right, which are wrong, and what that costs.",
        "run": "Run a scenario, replay it through the schemes, and judge them.",
        "scenarios": "List the scenarios.",
        "schemes": "List the schemes: what they keep, claim and answer.",
        "capacity": "Values, ID bits, bytes and atomic operations per scheme and order.",
        "refute": "Decide whether a configuration of a linear scheme can be wrong.",
        "inspect": "Who maps this machine's memory, exclusively or shared, exactly.",
        "trace": "Recorded traces: cut into parts, or asked what erodes and what is partly mapped.",
        "record": "Record a running system's mappings into a trace.",
        "watch": "Who copies memory on write, where, and was it needed: live.",
        "race": "Every execution of the C core's locking under seven memory models, and the smallest bad one.",
        "stress": "Race the C core's schemes, and judge every answer afterwards.",
        "bench": "Measure the C core's schemes against each other.",
        "kernel": "Kernels other than the running one: patched, built, booted, tested.",
        "differential": "Hold the model against the running kernel with random programs.",
        "fleet": "Many hosts' memory: who copies for nothing, and where to look.",
        "merge": "Put the parts of a campaign together, as if it had been carried out in one piece.",
    }
)
