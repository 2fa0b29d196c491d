"""The word of Width.v, evaluated in Rocq, is the word of core/atomic_seqcount.h, compiled: layouts and histories."""

import random
import shutil
import subprocess
from pathlib import Path

import pytest
from rocq import build, evaluate, needs_coqc

from rmaplab.sources import CORE

pytestmark = [
    needs_coqc,
    pytest.mark.skipif(not shutil.which("gcc"), reason="gcc: not found"),
]

KINDS = [("shared", 64), ("cmpxchg", 64), ("add_return", 64), ("shared", 32), ("cmpxchg", 32), ("add_return", 32)]
"""In the order of `layouts`, but for the last: 32 bits have no third stage, it is the second."""
HISTORIES = 6
EVENTS = 40

PROGRAM = """
#include <stdio.h>
#include "atomic_seqcount.h"
static struct rmap_seqcount_KIND count = RMAP_SEQCOUNT_INIT;
/* "e": somebody enters, "s", "x": a shared, the exclusive writer leaves, "l": a claim is made and lost. */
static void act(char what)
{
	const rmap_seq turned_back = RMAP_SEQ_ONE_SHARED - RMAP_SEQ_ONE_EXCLUSIVE;

	if (what == 'e')
		rmap_write_begin(&count);
	else if (what == 'l') {
		rmap_add(&count.word, RMAP_SEQ_ONE_EXCLUSIVE);
		__rmap_write_begin_shared(&count.word, turned_back, __rmap_kind(&count));
	} else
		rmap_write_end(&count, what == 'x');
}
int main(int n, char **histories)
{
	const enum rmap_writer how = __rmap_kind(&count);

	printf("%d %d %d\\n", RMAP_SEQ_SHARED_BITS, rmap_seq_exclusive_bits(how),
		RMAP_SEQCOUNT_BITS - RMAP_SEQ_SHARED_BITS - rmap_seq_exclusive_bits(how));
	for (int i = 1; i < n; i++) {
		rmap_seqcount_init(&count);
		for (const char *c = histories[i]; *c; c++) {
			act(*c);
			printf("%llu ", (unsigned long long)count.word);
		}
		printf("\\n");
	}
}
"""
LOOK = """
From Rmaplab Require Import Definitions Width. Import ListNotations. Open Scope Z_scope.
Definition parts l := [shared_bits l; exclusive_bits l; sequence_bits l].
Definition counted l := let '(w, writers, closed) := numbers l in [w; writers; closed].
Definition look l ms := let word := word_after l 0 ms in
  [word; shared_field l word; exclusive_field l word; sequence_field l word; writers_field l word;
   shared_inside ms; exclusive_inside ms; sections ms].
"""
CHANGES = {"e": "EnterShared", "E": "EnterExclusive", "s": "EndShared", "x": "EndExclusive", "l": "EnterExclusive"}


def history(kind: str, bits: int, rng: random.Random) -> str:
    """Events that one thread can make: nobody enters beside the exclusive writer, who would be waited for; shared writers
    leave in any number. "E" for entries that become the exclusive writer's.
    """
    said, shared, exclusive = "", 0, False
    while len(said) < EVENTS:
        if exclusive:
            said, exclusive = said + "x", False
        elif shared and rng.random() < 0.45:
            said, shared = said + "s", shared - 1
        elif kind == "shared" or shared:
            lost = kind == "add_return" and bits == 64 and rng.random() < 0.3
            said, shared = said + ("l" if lost else "e"), shared + 1
        else:
            said, exclusive = said + "E", True
    return said


def rocq_changes(said: str) -> list[str]:
    """Prefixes of a history as lists of Rocq's changes, one for every word that the program prints."""
    changes: list[str] = []
    prefixes = []
    for letter in said:
        changes.append(CHANGES[letter])
        if letter == "l":
            changes.append("TurnBack")
        prefixes.append(f"[{'; '.join(changes)}]")
    return prefixes


def inside(said: str) -> list[tuple[int, int, int]]:
    """Shared writers and exclusive writers inside, and sections closed, after every letter of a history."""
    rows, shared, exclusive, closed = [], 0, 0, 0
    for letter in said:
        shared += {"e": 1, "l": 1, "s": -1}.get(letter, 0)
        exclusive += {"E": 1, "x": -1}.get(letter, 0)
        closed += letter in "sx"
        rows.append((shared, exclusive, closed))
    return rows


@pytest.mark.parametrize("place", range(len(KINDS)), ids=[f"{kind}-{bits}" for kind, bits in KINDS])
def test_word_of_the_header_is_the_theorems(place: int, tmp_path: Path) -> None:
    kind, bits = KINDS[place]
    rng = random.Random(place)
    said = [history(kind, bits, rng) for _ in range(HISTORIES)]
    source = tmp_path / "word.c"
    source.write_text(PROGRAM.replace("KIND", kind))
    command = ["gcc", "-Wall", "-Wextra", "-Werror", f"-DRMAP_SEQCOUNT_BITS={bits}", f"-I{CORE}", str(source)]
    subprocess.run([*command, "-o", str(tmp_path / "word")], check=True)
    run = [str(tmp_path / "word"), *(one.replace("E", "e") for one in said)]
    first, *words = subprocess.run(run, capture_output=True, text=True, check=True).stdout.splitlines()

    theories = tmp_path / "theories"
    theories.mkdir()
    folder = build(theories, ["Definitions", "Width"])
    layout = f"(nth {min(place, 4)} layouts (Layout 0 0 0))"
    script = LOOK + f"Eval vm_compute in (parts {layout}).\nEval vm_compute in (counted {layout}).\n"
    for one in said:
        script += f"Eval vm_compute in (map (look {layout}) [{'; '.join(rocq_changes(one))}]).\n"
    bits_of, ends, *proved = evaluate(folder, script)
    low, middle, high = (int(n) for n in first.split())
    assert bits_of == [low, middle, high]
    assert ends == [bits, (1 << low) - 1, 1 << high]
    for history_said, line, rows in zip(said, words, proved, strict=True):
        wanted = []
        for word, (shared, exclusive, closed) in zip(map(int, line.split()), inside(history_said), strict=True):
            fields = [
                word % (1 << low),
                word >> low & ((1 << middle) - 1),
                word >> low + middle,
                word % (1 << low + middle),
            ]
            assert fields[:2] == [shared, exclusive]
            wanted.append([word, *fields, shared, exclusive, closed])
        assert rows == wanted
    assert any("x" in one for one in said) == (kind != "shared")
