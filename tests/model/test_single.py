"""One update in plain numbers does to the counters what a batch of updates does."""

from collections.abc import Callable

import numpy as np
import pytest

from rmaplab.machine.model.physical.columns import Runs
from rmaplab.machine.model.physical.memory import Frames, Memory
from rmaplab.machine.model.physical.recorder import Recorder
from rmaplab.machine.model.policy import precise
from rmaplab.schemes import SCHEMES
from rmaplab.trace import Meta

Update = tuple[str, int, int, int]
"""What is done to a folio: map, unmap, map entire or unmap entire; by which MM; from which page on, how many."""

UPDATES: tuple[Update, ...] = (
    ("map_entire", 1, 0, 512),
    ("map_pages", 1, 0, 512),
    ("unmap_entire", 1, 0, 512),
    ("map_pages", 2, 3, 40),
    ("map_entire", 3, 0, 512),
    ("map_pages", 2, 0, 1),
    ("unmap_pages", 1, 7, 1),
    ("unmap_pages", 2, 3, 40),
    ("unmap_entire", 3, 0, 512),
    ("unmap_pages", 1, 0, 7),
    ("unmap_pages", 1, 8, 504),
)


def folios(scheme: str, order: int) -> tuple[Memory, Frames]:
    """A memory with two folios that are held, so that none is freed."""
    memory = Memory(precise(SCHEMES[scheme]), Recorder())
    heads = memory.allocate(order, 2, "anon")
    memory.hold(memory.frame["folio"][heads])
    return memory, heads


def do(memory: Memory, heads: Frames, update: Update) -> None:
    """The update to these folios, in one call."""
    call, mm, page, size = update
    method: Callable[..., None] = getattr(memory, call)
    if "entire" in call:
        method(memory.frame["folio"][heads], mm, 0)
    else:
        first = heads.astype(np.int64) + page
        method(Runs(first, first, np.full(len(heads), size)), mm, 0)


def counters(memory: Memory, heads: Frames) -> dict[str, object]:
    slots = memory.frame["folio"][heads]
    rows = memory.folio["row"][slots].astype(np.int64)
    order = int(memory.folio["order"][slots[0]])
    state = memory.answers.state(order, rows)
    seen = {name: memory.folio[name][slots].tolist() for name in ("refs", "mapcount", "entire", "partial")}
    return {
        **seen,
        "pages": memory.frame.used("mapcount").tolist(),
        "sums": memory.answers.sums(order, rows).tolist(),
        "state": None if state is None else repr(state.data.tolist()),
        "events": memory.recorder.trace(Meta("model")).events.sort("folio", maintain_order=True).rows(),
    }


@pytest.mark.parametrize("scheme", [name for name, scheme in SCHEMES.items() if 9 in scheme.orders])
def test_an_update_of_one_folio_is_that_of_a_batch(scheme: str) -> None:
    (single, heads), (batch, _) = folios(scheme, 9), folios(scheme, 9)
    for update in UPDATES:
        do(single, heads[:1], update)
        do(single, heads[1:], update)
        do(batch, heads, update)
        assert counters(single, heads) == counters(batch, heads), update


def test_a_small_folio_counts_in_single_updates_too() -> None:
    memory = Memory(precise(SCHEMES["moments"]), Recorder())
    heads = memory.allocate(0, 1, "anon")
    slot = memory.frame["folio"][heads[0]]
    do(memory, heads, ("map_pages", 1, 0, 1))
    do(memory, heads, ("map_pages", 2, 0, 1))
    assert (memory.folio["refs"][slot], memory.folio["mapcount"][slot], memory.frame["mapcount"][heads[0]]) == (2, 2, 2)
    do(memory, heads, ("unmap_pages", 1, 0, 1))
    do(memory, heads, ("unmap_pages", 2, 0, 1))
    assert memory.counters.pages == 0


def test_observers_see_every_phase_of_a_single_update_in_the_policys_order() -> None:
    memory, heads = folios("moments", 9)
    seen: list[tuple[str, list[int]]] = []
    memory.observer = lambda _, what, slots: seen.append((what, slots.tolist()))
    do(memory, heads[:1], ("map_pages", 1, 0, 512))
    slots = memory.frame["folio"][heads[:1]].tolist()
    assert seen == [(f"map {phase}", slots) for phase in memory.policy.mapping]
