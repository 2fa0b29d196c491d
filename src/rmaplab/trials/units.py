"""Random programs in guests of the lab, as a campaign: a unit is some programs, for which one guest is booted.

For `rmaplab differential --guest`, on this machine and on an engine's workers, and `rmaplab kernel test`: no program
touches the kernel of the machine that boots the guest. Programs run in the guest, the model outside.
"""

import io
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Final

from rmaplab.errors import NotAvailable
from rmaplab.kernels.entries import parse
from rmaplab.kernels.guest import Ended, Guest
from rmaplab.kernels.obtain import Bootable, bootable
from rmaplab.kernels.qemu import Hardware
from rmaplab.machine.differential.campaign import counted
from rmaplab.machine.differential.counts import Progress
from rmaplab.machine.differential.lived import Lived, unpacked
from rmaplab.machine.differential.plan import Plan
from rmaplab.machine.differential.runner import Outcome, hold
from rmaplab.machine.differential.units import Told
from rmaplab.trials.trial import passed, policy

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
        begin = self.first + unit * EACH
        seeds = range(begin, min(begin + EACH, self.first + self.programs))
        return in_guest(bootable(parse(self.guest)), self.plan, seeds)[0]

    def read(self, value: Any) -> Told:
        return Told.read(value)


def guests(kernel: str, plan: Plan, seeds: range) -> InGuests:
    """The campaign in guests of `kernel`, against the model with its rules. Raises RmaplabError, NotAvailable."""
    return InGuests(kernel, Plan(policy(parse(kernel)), plan.steps, plan.without), seeds.start, len(seeds))


def tested(boots: Bootable, plan: Plan, seeds: range) -> dict[str, Any]:
    """The programs of `seeds`, so many a guest: what `rmaplab differential --json` prints of them, and `splats`.
    Mismatches, shrunk, go to stderr. Raises NotAvailable, GuestError."""
    told, splats, progress = Told(), list[str](), Progress(len(seeds))
    for begin in range(0, len(seeds), EACH):
        more, said = in_guest(boots, plan, seeds[begin : begin + EACH])
        told, splats = told.merge(more), splats + said
        progress.say(told.counts)
    for text in told.said.values():
        sys.stderr.write(text)
    return {**told.counts.numbers(plan.kernel), "splats": splats}


def in_guest(boots: Bootable, plan: Plan, seeds: Sequence[int]) -> tuple[Told, list[str]]:
    """What the programs of `seeds` came to in a guest, and what its kernel complained of. Those that mismatch are run in
    another one, as often as it takes to be sure, and shrunk there. Raises NotAvailable, GuestError."""
    ended = _ended(boots, plan, "lives", seeds)
    told, wrong, out = Told(), list[int](), io.StringIO()
    for lived in unpacked(ended.out):
        counts, _ = counted(f"seed {lived.seed}", lived.program, partial(_held, lived, plan), out)
        if counts.mismatches:
            wrong.append(lived.seed)
        else:
            told = told.merge(Told.of(lived.seed, counts, ""))
            sys.stderr.write(out.getvalue())  # why it was set aside, if it was
        out.seek(0)
        out.truncate()
    lost = len(seeds) - told.counts.programs - len(wrong)
    if lost:
        raise NotAvailable(f"{boots.image.title}: {lost} programs did not run there (status {ended.status})")
    if not wrong:
        return told, ended.splats
    again = _ended(boots, plan, "whole", wrong)
    if not again.out:
        raise NotAvailable(f"{boots.image.title}: programs did not run there again (status {again.status})")
    return told.merge(Told.read(json.loads(again.out))), [*ended.splats, *again.splats]


def _held(lived: Lived, plan: Plan) -> Outcome:
    if isinstance(lived.life, Exception):
        raise lived.life
    return hold(lived.program, lived.life, plan.kernel)


def _ended(boots: Bootable, plan: Plan, how: str, seeds: Sequence[int]) -> Ended:
    wanted = json.dumps([plan.kernel, plan.steps, sorted(plan.without), list(seeds)])
    command = shlex.join([sys.executable, "-m", "rmaplab.machine.differential.inside", how, wanted])
    with Guest(boots.image, command, Hardware(memory=3072), boots.append, err=passed) as guest:
        return guest.wait(_PATIENCE)
