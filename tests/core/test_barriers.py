"""Every barrier of core/atomic_seqcount.h is needed: without it C11 allows an execution that breaks a promise.

core/check/ runs the unchanged header under C11's memory model, in every way it can go. Here one barrier at a time is
taken out; the failing test of a changed header prints the interleaving that breaks.
"""

import shutil
from pathlib import Path

import pytest
from planting import COMPILER, CORE, Fault, explore, plant

pytestmark = pytest.mark.skipif(COMPILER is None, reason="exploring the header needs a C compiler")

TORN = "a reader saw one word of an update without the other"
LOST = "an update was lost"
FOOLED = "a stranger's reference passed for a mapping's"
HEADER = "atomic_seqcount.h"
SCENARIOS = 12

MISSING = {
    "acquire of rmap_read_begin": (
        "while (unlikely((word = rmap_read_acquire(s)) &",
        "while (unlikely((word = rmap_read(s)) &",
        TORN,
    ),
    "acquire fence of rmap_read_retry": ("	rmap_fence_acquire();\n", "", TORN),
    "release fence of rmap_write_enter": ("	rmap_fence_release();\n", "", TORN),
    "acquire of the wait for the exclusive writer": ("word = rmap_read_acquire(s);", "word = rmap_read(s);", LOST),
    "acquire of a shared writer's entry": (
        "rmap_seq word = rmap_add_return_acquire(s, enter);",
        "rmap_seq word = rmap_add_return(s, enter);",
        LOST,
    ),
    "acquire of the exclusive entry by cmpxchg": (
        "rmap_try_cmpxchg_acquire(s, &word,",
        "rmap_try_cmpxchg(s, &word,",
        LOST,
    ),
    "acquire of the exclusive entry by add-return": (
        "word = rmap_add_return_acquire(s, RMAP_SEQ_ONE_EXCLUSIVE);",
        "word = rmap_add_return(s, RMAP_SEQ_ONE_EXCLUSIVE);",
        LOST,
    ),
    "release of rmap_write_end": (
        "rmap_add_release(s, rmap_seq_step(how) - leave);",
        "rmap_add(s, rmap_seq_step(how) - leave);",
        TORN,
    ),
}

WRONG = {
    "no retry": ("return unlikely(rmap_read(s) != start);", "return 0 & (rmap_read(s) != start);", TORN),
    "a reader begins with a compare-exchange that fails, which acquires nothing": (
        "while (unlikely((word = rmap_read_acquire(s)) &",
        "while (unlikely((word = ({ rmap_seq w = ~0ull; rmap_try_cmpxchg_acquire((rmap_seq *)s, &w, w); w; })) &",
        TORN,
    ),
    "no wait for the exclusive writer": ("while (unlikely(word & rmap_seq_exclusive_mask(how))) {", "while (0) {", LOST),
    "a lost claim is not turned back": (
        "enter = RMAP_SEQ_ONE_SHARED - RMAP_SEQ_ONE_EXCLUSIVE;",
        "enter = RMAP_SEQ_ONE_SHARED;",
        "a thread waits for ever",
    ),
}


def test_header_keeps_its_promises_in_every_execution(tmp_path: Path) -> None:
    done = explore(Path(shutil.copytree(CORE, tmp_path / "core")))
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("all promises kept") == SCENARIOS


@pytest.mark.parametrize("name", [*MISSING, *WRONG])
def test_changed_header_breaks_a_promise_and_the_execution_is_shown(name: str, tmp_path: Path) -> None:
    old, new, promise = {**MISSING, **WRONG}[name]
    fault = Fault(name, 'X("moments", moments_shared, moments)', HEADER, old, new)
    done = explore(plant(fault, tmp_path))
    assert done.returncode == 1, done.stdout
    assert promise in done.stdout
    assert "loads" in done.stdout or "adds" in done.stdout
