"""`rmaplab kernel test`: what a booted kernel answers, beside its scheme's twin, the model and the kernel's own tests."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final

import typer

from rmaplab.cli import options
from rmaplab.cli.exits import FINDING
from rmaplab.cli.kernel_words import KernelOption, SchemeOption, wish, words
from rmaplab.kernels import cow, obtain, own_tests
from rmaplab.kernels.entries import Wish
from rmaplab.kernels.obtain import Bootable
from rmaplab.kernels.own_tests import Compared
from rmaplab.kernels.storm import Storm, storm
from rmaplab.kernels.witness import Witness, witness
from rmaplab.machine.differential.counts import total
from rmaplab.machine.differential.plan import OPTIONAL, Plan
from rmaplab.machine.differential.plan import without as named
from rmaplab.report.console import emit_json, note, show
from rmaplab.report.cow import cow_table
from rmaplab.report.selftests import selftests_table, selftests_verdict
from rmaplab.trials import trial
from rmaplab.trials.units import tested

PARTS = ("cow", "differential", "selftests", "witness", "debug")


_READ: Final[Mapping[tuple[str, ...], tuple[str, ...]]] = MappingProxyType(
    {
        ("cow",): ("orders", "mms"),
        ("differential",): ("n", "without"),
        ("differential", "debug"): ("seed",),
        ("selftests",): ("programs",),
        ("debug",): ("seconds",),
    }
)
"""Which parts read which options."""


@dataclass(slots=True)
class Found:
    """What the parts came to; what did not run is empty."""

    kernel: str
    wish: Wish
    rows: list[trial.Judged] = field(default_factory=list)
    differential: dict[str, Any] = field(default_factory=dict)
    selftests: dict[str, Compared] = field(default_factory=dict)
    witness: Witness | None = None
    storm: Storm | None = None
    splats: list[str] = field(default_factory=list)

    @property
    def is_finding(self) -> bool:
        """Something a kernel with this scheme must not do."""
        scheme = self.wish.answers_by
        return bool(
            (scheme not in (None, "off") and any(row.avoidable_pages for row in self.rows))
            or any(row.beyond_twin for row in self.rows)
            or self.differential.get("mismatches")
            or any(one.beyond_off for one in self.selftests.values())
            or (self.witness and self.witness.leaked)
            or (self.storm and self.storm.is_wrong)
            or (self.storm and self.storm.false_shared and scheme in trial.KNOWS_FROM_OUTSIDE)
            or self.splats
        )

    def to_dict(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "kernel": self.kernel,
            "scheme": self.wish.answers_by,
            "cow_table": [row.to_dict() for row in self.rows],
            "differential": self.differential,
            "selftests": {title: one.to_dict() for title, one in self.selftests.items()},
            "witness": asdict(self.witness) if self.witness else None,
            "debug": self.storm.to_dict() if self.storm else None,
            "splats": self.splats,
        }

    def print(self) -> None:
        """For people."""
        if self.rows:
            show(cow_table(self.kernel, self.wish.answers_by, self.rows))
        if self.differential:
            for why, steps in self.differential["set_aside"].items():
                typer.echo(f"set aside, {why}: {steps} steps")
            typer.echo(f"{self.kernel} as {self.differential['kernel']}: {total(self.differential)}")
        if self.selftests:
            show(selftests_table(self.kernel, self.wish.answers_by, self.selftests))
            typer.echo(selftests_verdict(self.selftests))
        if self.witness:
            kept = "reused" if self.witness.reused else "copied"
            leak = f"MM {self.witness.reader} reads what it wrote" if self.witness.leaked else "nobody else reads it"
            typer.echo(f"MM {self.witness.writer} writes a page that MM {self.witness.reader} maps: {kept}; {leak}")
        if self.storm:
            typer.echo(", ".join(f"{key} {value}" for key, value in self.storm.to_dict().items() if value != []))
        for splat in self.splats:
            typer.echo(f"the kernel: {splat}")


def kernel_test(
    context: typer.Context,
    name: KernelOption = "6.12",
    scheme: SchemeOption = None,
    only: Annotated[str, typer.Option(help=f"What is tested: of {', '.join(PARTS)}, separated by commas.")] = "cow",
    orders: Annotated[
        str, typer.Option(help="Orders of the COW table's folios, separated by commas.")
    ] = "2,3,4,5,6,7,8,9",
    mms: Annotated[int, typer.Option(parser=options.count(1, 8), help="MMs of the COW table's largest trees.")] = 8,
    n: Annotated[int, typer.Option("-n", parser=options.count(1), help="Programs of the differential test.")] = 20,
    seed: Annotated[int, typer.Option(parser=options.seed(), help="Seed of the first program.")] = 1,
    seconds: Annotated[int, typer.Option(parser=options.count(1, 3600), help="Seconds of the debug part's storm.")] = 20,
    without: Annotated[
        str, typer.Option(help=f"What the differential test does without, by commas: {', '.join(OPTIONAL)}.")
    ] = "",
    programs: Annotated[
        str, typer.Option(help="The kernel's selftests to run, by the names of their programs, separated by commas.")
    ] = ",".join(own_tests.NAMES),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Test a booted kernel: which survivor of a fork tree reuses its memory, and does it behave as the model says?

    Exit code 1 if a kernel with a scheme answers otherwise than the scheme's Python twin, after a mismatch, a failed
    selftest that the kernel's own rule does not fail, a process that reads another's memory, or a splat.
    """
    parts = words("--only", only, PARTS)
    sizes = [int(word) for word in words("--orders", orders, [str(order) for order in cow.ORDERS])]
    chosen = words("--programs", programs, own_tests.NAMES)
    for reads, unread in _READ.items():
        if not set(reads) & set(parts):
            options.refuse(context, f"--only {only}", *unread)
    wanted = wish(name, scheme)
    boots = _debug(wanted) if parts == ["debug"] else obtain.bootable(wanted)
    found = Found(boots.image.title, wanted)
    if "cow" in parts:
        filled = cow.table(boots, mms, sizes)
        found.rows = trial.judged(filled.rows, wanted.answers_by)
        found.splats += filled.ended.splats
        for order in filled.without:
            note(f"{boots.image.title}: gives no folios of order {order}")
    if "witness" in parts:
        found.witness = witness(boots)
        found.splats += found.witness.splats
    if "differential" in parts:
        plan = Plan(trial.policy(wanted), without=named(without))
        found.differential = tested(boots, plan, range(seed, seed + n))
        found.splats += found.differential.pop("splats")
    if "selftests" in parts:
        found.selftests = own_tests.run(wanted, boots, chosen)
        found.splats += [splat for one in found.selftests.values() for splat in one.splats]
    if "debug" in parts:
        found.storm = storm(_debug(wanted), seconds, seed)
        found.splats += found.storm.splats
    if as_json:
        emit_json(found.to_dict())
    else:
        found.print()
    if found.is_finding:
        raise typer.Exit(FINDING)


def _debug(wanted: Wish) -> Bootable:
    """The kernel with its own checkers, bare: a storm wants no more. A directory is what it is. The storm asks a
    patched kernel."""
    if isinstance(wanted.kernel, Path):
        return obtain.bootable(wanted)
    flavour = wanted.flavour or "many"
    checkers = {"races"} if "races" in wanted.extras else {"debug"}
    return obtain.bootable(replace(wanted, extras=wanted.extras | checkers | {"bare"}, flavour=flavour))
