"""core/'s interface is hard to misuse: what would go wrong does not compile, and sections close what they open.

The same headers for another machine: examples and the race program, compiled for aarch64 and run by qemu-user.
"""

import shutil
import subprocess
from pathlib import Path

import pytest
from planting import COMPILER, CORE

CROSS = shutil.which("aarch64-linux-gnu-gcc")
EMULATOR = shutil.which("qemu-aarch64")
EXAMPLES = sorted((CORE.parent / "examples/core").glob("*.c"))
STRICT = ("-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O2", f"-I{CORE}")

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="needs a C compiler")
needs_aarch64 = pytest.mark.skipif(
    not (CROSS and EMULATOR), reason="needs aarch64-linux-gnu-gcc and qemu-aarch64 (.ci/kernel-tools)"
)


def compile_c(compiler: str | None, text: str, folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    source = folder / "program.c"
    source.write_text(text)
    command = [str(compiler), *STRICT, *flags, str(source), "-o", str(folder / "program")]
    return subprocess.run(command, capture_output=True, text=True, check=False)


SOUND = """
#include <atomic_seqcount.h>
static struct rmap_seqcount_cmpxchg count = RMAP_SEQCOUNT_INIT;
static rmap_seq bare;
static u64 a;
int main(void)
{
	const struct rmap_seqcount_cmpxchg *reader = &count;
	bool exclusive = rmap_write_begin(&count);
	u64 seen;

	rmap_write_end(&count, exclusive);
	rmap_read_section(reader)
		seen = rmap_read(&a);
	return (int)(seen + bare);
}
"""

MISUSES = {
    "a word without a kind": ("rmap_write_begin(&count)", "rmap_write_begin(&bare)", "request for member"),
    "a writer through a reader's pointer": ("rmap_write_begin(&count)", "rmap_write_begin(reader)", "discards"),
    "an end that does not say how it entered": (
        "rmap_write_end(&count, exclusive)",
        "rmap_write_end(&count)",
        "requires 2",
    ),
    "the count itself for its address": ("rmap_write_begin(&count)", "rmap_write_begin(count)", "invalid type argument"),
    "another structure": (
        "rmap_read_section(reader)",
        "rmap_read_section(&(struct { rmap_seq word; }){ 0 })",
        "not compatible",
    ),
}


@needs_compiler
def test_sound_use_compiles(tmp_path: Path) -> None:
    assert compile_c(COMPILER, SOUND, tmp_path).stderr == ""


@needs_compiler
@pytest.mark.parametrize("name", MISUSES)
def test_misuse_does_not_compile(name: str, tmp_path: Path) -> None:
    old, new, says = MISUSES[name]
    assert SOUND.count(old) == 1
    done = compile_c(COMPILER, SOUND.replace(old, new), tmp_path)
    assert done.returncode != 0
    assert says in done.stderr


WATCHED = """
#include <assert.h>
#include <platform.h>
/* Sections that are open, and the most that ever were. */
static int depth, deepest;
#undef rmap_preempt_disable
#undef rmap_preempt_enable
#define rmap_preempt_disable() (depth++, deepest = depth > deepest ? depth : deepest)
#define rmap_preempt_enable() (assert(depth > 0), depth--)
#include <lib/list.h>
int rmap_have_vector_read128;

#define TRY(name, p, w)                                                     \
	{                                                                   \
		struct rmap_folio folio = { .refcount = 9, .order = 2, .page_mapcount = pages }; \
		deepest = 0;                                                \
		rmap_##p##_set_first(&folio, &one, 0, 4, 0);                \
		rmap_##p##_map(&folio, &two, 0, 4, 0);                      \
		assert(!depth);                                             \
		rmap_##p##_unmap(&folio, &two, 0, 4, 0);                    \
		(void)rmap_##p##_verdict(&folio, &one);                     \
		(void)rmap_##p##_cow_reuse(&folio, &one);                   \
		assert(!depth && deepest <= 1);                             \
		sections += deepest;                                        \
	}

int main(void)
{
	static struct rmap_mm one, two;
	static s32 pages[4];
	int sections = 0;

	rmap_mm_init(&one, 5);
	rmap_mm_init(&two, 6);
	RMAP_SCHEMES(TRY)
	/* All but the price floor and the two guesses have a section. */
	return sections == SECTIONS ? 0 : sections;
}
"""


@needs_compiler
def test_preemption_is_off_once_in_every_section_and_on_again_behind_it(tmp_path: Path) -> None:
    listed = (CORE / "lib/list.h").read_text()
    schemes = 5 + 5 * 3 + 2 + 1
    assert "RMAP_SCHEMES(X)" in listed
    done = compile_c(COMPILER, WATCHED, tmp_path, f"-DSECTIONS={schemes - 3}")
    assert done.returncode == 0, done.stderr
    ran = subprocess.run([tmp_path / "program"], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


@needs_aarch64
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_examples_hold_on_aarch64(example: Path, tmp_path: Path) -> None:
    assert compile_c(CROSS, example.read_text(), tmp_path, "-static").stderr == ""
    done = subprocess.run([str(EMULATOR), tmp_path / "program"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@needs_aarch64
def test_race_program_runs_clean_on_aarch64(tmp_path: Path) -> None:
    """Threads under every scheme, with the debug checks; qemu keeps aarch64's atomics, not all of its reordering."""
    sources = [str(CORE / "lib" / name) for name in ("race_main.c", "stress.c", "schemes.c")]
    flags = ["-std=gnu11", "-O2", "-static", "-DRMAP_DEBUG", "-pthread"]
    subprocess.run([str(CROSS), *flags, *sources, "-o", str(tmp_path / "race")], check=True)
    done = subprocess.run([str(EMULATOR), tmp_path / "race"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
