"""Random programs in guests of the lab, as a campaign: a unit is some programs, for which one guest is booted.

For `rmaplab differential --guest`, on this machine and on an engine's workers: no program touches the kernel of the
machine that boots the guest.
"""

import json
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from rmaplab.errors import NotAvailable
from rmaplab.kernels.entries import parse
from rmaplab.kernels.guest import Guest
from rmaplab.kernels.obtain import bootable
from rmaplab.kernels.qemu import Hardware
from rmaplab.machine.differential.plan import Plan
from rmaplab.machine.differential.units import Told
from rmaplab.trials.trial import policy

EACH: Final = 20
"""Programs a boot."""
_PATIENCE: Final = 3600.0


@dataclass(frozen=True, slots=True)
class InGuests:
    """The programs of seeds `first` .. `first + programs - 1` in guests of `guest`, held against the model of `plan`."""

    guest: str
    plan: Plan
    first: int
    programs: int

    command: ClassVar[str] = "differential"
    seconds: ClassVar[float | None] = None

    @classmethod
    def again(cls, parameters: Mapping[str, Any]) -> "InGuests":
        """The campaign with these parameters. Raises KeyError, TypeError, ValueError."""
        p = parameters
        plan = Plan(str(p["kernel"]), int(p["steps"]), frozenset(map(str, p["without"])))
        return cls(str(p["guest"]), plan, int(p["first"]), int(p["programs"]))

    def parameters(self) -> dict[str, Any]:
        return {**self.plan.to_dict(), "first": self.first, "programs": self.programs, "guest": self.guest}

    @property
    def units(self) -> int:
        return -(-self.programs // EACH)

    def nothing(self) -> Told:
        return Told()

    def run(self, unit: int) -> Told:
        """Boot a guest and run its programs there. Raises NotAvailable, GuestError."""
        boots = bootable(parse(self.guest))
        begin = self.first + unit * EACH
        count = min(EACH, self.first + self.programs - begin)
        wanted = json.dumps([self.plan.kernel, self.plan.steps, sorted(self.plan.without), begin, count])
        command = shlex.join([sys.executable, "-m", "rmaplab.machine.differential.inside", wanted])
        with Guest(boots.image, command, Hardware(memory=3072), boots.append) as guest:
            ended = guest.wait(_PATIENCE)
        try:
            return Told.read(json.loads(ended.out))
        except ValueError as error:
            said = ended.err.decode(errors="replace").strip().rpartition("\n")[2]
            raise NotAvailable(f"{boots.image.title}: programs did not run there: {said}") from error

    def read(self, value: Any) -> Told:
        return Told.read(value)


def guests(kernel: str, plan: Plan, seeds: range) -> InGuests:
    """The campaign in guests of `kernel`, against the model with its rules. Raises RmaplabError, NotAvailable."""
    return InGuests(kernel, Plan(policy(parse(kernel)), plan.steps, plan.without), seeds.start, len(seeds))
