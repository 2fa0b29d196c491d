"""Judge a scheme of your own on real processes: one that keeps the XOR of the mapping MMs' IDs.

Run: .venv/bin/python examples/scheme_of_your_own.py  (live as root, else on the recorded run)

The idea is tempting: one word, one RMW. If an even number of mappings are the caller's the XOR is 0, if odd it is the
caller's ID. The judge shows in full where that breaks.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from rmaplab.errors import NotAvailable
from rmaplab.judge import judge
from rmaplab.machine.choose import open_machine
from rmaplab.recorded import recorded
from rmaplab.scenarios import Parameters, find
from rmaplab.schemes import Cost, Exactness, Field, Layout, Op, Predicate, Scheme, State, Verdicts
from rmaplab.trace import Trace, Verdict, read


@dataclass(frozen=True)
class XorOfIds(Scheme):
    """Total mapcount, and the XOR of the IDs of all mappings."""

    name: ClassVar[str] = "xor"
    title: ClassVar[str] = "XOR of the IDs"
    source: ClassVar[str] = "this example"
    predicate: ClassVar[Predicate] = Predicate.BY_CALLER
    exact: ClassVar[Exactness] = Exactness.HEURISTIC

    def start(self, order: int, count: int) -> State:
        return State(order, np.zeros(count, [("mapcount", np.int64), ("xor", np.uint32)]))

    def update(self, state: State, mm: ArrayLike, page: ArrayLike, nr: ArrayLike, entire: ArrayLike) -> State:
        data = state.data.copy()
        data["mapcount"] += nr
        data["xor"] ^= np.where(np.asarray(nr) % 2, np.asarray(mm, np.uint32), np.uint32(0))
        return State(state.order, data)

    def verdict(self, state: State, mm: ArrayLike) -> Verdicts:
        looks_alone = state.data["xor"] == np.where(state.data["mapcount"] % 2, np.asarray(mm, np.uint32), 0)
        return np.where(looks_alone, Verdict.EXCLUSIVE, Verdict.SHARED).astype(np.uint8)

    def layout(self, order: int) -> Layout:
        return Layout(order, (Field("mapcount", 32), Field("xor", 32)), 1)

    def capacity(self, order: int) -> int:
        return 32

    def cost(self, order: int, op: Op, pages: int = 1) -> Cost:
        return Cost(rmw=0, plain=2, bytes=8) if op is Op.VERDICT else Cost(rmw=2, plain=0, bytes=8)


def play() -> Trace:
    """A server forks a snapshot and goes on writing; live if this machine allows it."""
    try:
        with open_machine("live", "") as machine:
            return find("snapshot").play(machine, Parameters(size=4 << 20))
    except NotAvailable as missing:
        print(f"recorded run instead: {missing}")
        return read(recorded("prefork"))


def main() -> None:
    """Judge it, and show the first wrong answer in full."""
    verdict = judge(play(), [XorOfIds()]).schemes["xor"]
    total = verdict.total
    print(f"{total.questions} questions, {total.false_exclusive} false exclusive, {total.false_shared} false shared")
    for case in verdict.wrong[:1]:
        who = dict(case.mappings)
        print(f"folio {case.folio}: MM {case.asker} asks, mapped by {who}: {case.verdict.name}, is {case.truth.name}")


if __name__ == "__main__":
    main()
