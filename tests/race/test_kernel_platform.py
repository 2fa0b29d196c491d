"""The kernel's platform.h calls what the rows of Linux' model say, whatever the width of the word."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from rmaplab.sources import KERNEL
from rmaplab.verify.race.engine import Row
from rmaplab.verify.race.mappings import MAPPINGS

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs a C compiler")

PLATFORM = KERNEL / "mm" / "rmaplab" / "core" / "platform.h"
ROWS = MAPPINGS["lkmm"][1]

HEADERS = """
typedef unsigned long long u64; typedef long long s64; typedef unsigned int u32; typedef int s32;
typedef unsigned char u8; typedef _Bool bool; typedef unsigned __int128 u128;
typedef struct { int counter; } atomic_t; typedef struct { s64 counter; } atomic64_t;
struct page { char bytes[64]; };
#define __always_inline inline __attribute__((always_inline))
#define __aligned(n) __attribute__((aligned(n)))
#define SMP_CACHE_BYTES 64
#define IS_ENABLED(option) WITH_ ## option
#define ATOMIC(type, number, name) \\
    number name ## _read(const type *); number name ## _read_acquire(const type *); \\
    void name ## _set(type *, number); void name ## _set_release(type *, number); void name ## _add(number, type *); \\
    number name ## _add_return_relaxed(number, type *); number name ## _add_return_acquire(number, type *); \\
    number name ## _fetch_add_release(number, type *); bool name ## _try_cmpxchg_acquire(type *, number *, number);
ATOMIC(atomic_t, int, atomic) ATOMIC(atomic64_t, s64, atomic64)
void smp_rmb(void); void smp_mb__before_atomic(void); void smp_mb__after_atomic(void);
"""
"""What the kernel's headers declare, as functions that nobody defines: a compiler leaves the calls."""

EITHER = {
    "read": "u64 {name}({type} *p) {{ return rmap_read(p); }}",
    "write": "void {name}({type} *p, u64 v) {{ rmap_write(p, v); }}",
    "read_acquire": "u64 {name}({type} *p) {{ return rmap_read_acquire(p); }}",
    "add": "void {name}({type} *p, u64 v) {{ rmap_add(p, v); }}",
    "add_return": "u64 {name}({type} *p, u64 v) {{ return rmap_add_return(p, v); }}",
}
WIDE = {
    "write_release": "void {name}(u64 *p, u64 v) {{ rmap_write_release(p, v); }}",
    "add_release": "void {name}(u64 *p, u64 v) {{ rmap_add_release(p, v); }}",
    "add_return_acquire": "u64 {name}(u64 *p, u64 v) {{ return rmap_add_return_acquire(p, v); }}",
    "cmpxchg_acquire": "int {name}(u64 *p, u64 o, u64 v) {{ return rmap_try_cmpxchg_acquire(p, &o, v); }}",
    "fence_release": "void {name}(void) {{ rmap_fence_release(); }}",
    "fence_acquire": "void {name}(void) {{ rmap_fence_acquire(); }}",
}
FENCES = {"After-atomic": "smp_mb__after_atomic", "Rmb": "smp_rmb"}


def called_by(row: Row, name: str, atomic: str) -> list[str]:
    """The kernel's functions that do what a row's tags say."""
    if not (row.read or row.write):
        return [FENCES[tag] for tag in row.before]
    order = "_acquire" if "Acquire" in row.read else "_release" if "Release" in row.write else ""
    kind = re.sub("_(acquire|release)$", "", name)
    if kind in ("read", "write"):
        return [f"{atomic}_{'read' if kind == 'read' else 'set'}{order}"]
    if "Noreturn" in row.read:
        return [f"{atomic}_add"]
    words = {"add": "fetch_add", "add_return": "add_return", "cmpxchg": "try_cmpxchg"}
    return [f"{atomic}_{words[kind]}{order or '_relaxed'}"]


def calls(folder: Path, functions: dict[str, str], platform: str, x86: int) -> dict[str, list[str]]:
    """What each function calls, in order, compiled over that platform.h."""
    (folder / "linux").mkdir(exist_ok=True)
    for header in re.findall(r"#include <(linux/.*)>", platform):
        (folder / header).write_text("")
    (folder / "platform.h").write_text(platform)
    program = folder / "functions.c"
    program.write_text(f'{HEADERS}\n#include "platform.h"\n' + "\n".join(functions.values()))
    command = ["gcc", "-std=gnu11", "-O2", "-S", f"-DWITH_CONFIG_X86={x86}", "-I", str(folder), "-o", "-", str(program)]
    made = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    bodies = re.findall(r"^(\w+):\n(.*?)^\t\.size", made, re.MULTILINE | re.DOTALL)
    return {name: re.findall(r"(?:call|jmp|bl?)\s+([a-z]\w+)", body) for name, body in bodies}


def wanted(x86: int) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Functions, and what the rows say that each calls."""
    functions, said = {}, {}
    for width, atomic in (("u64", "atomic64"), ("u32", "atomic"), ("s32", "atomic")):
        for name, text in EITHER.items():
            functions[f"{name}_{width}"] = text.format(name=f"{name}_{width}", type=width)
            said[f"{name}_{width}"] = called_by(ROWS[name], name, atomic)
    for name, text in WIDE.items():
        functions[name] = text.format(name=name)
        said[name] = called_by(ROWS[name], name, "atomic64")
    if x86:  # there each atomic operation is a full barrier, and a void one the cheapest; elsewhere as the row says
        said["add_release"] = ["smp_mb__before_atomic", "atomic64_add"]
    return functions, said


@pytest.mark.parametrize("x86", [0, 1])
def test_each_operation_calls_what_its_row_says(tmp_path: Path, x86: int) -> None:
    functions, said = wanted(x86)
    assert calls(tmp_path, functions, PLATFORM.read_text(), x86) == said


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("atomic64_read_acquire(", "atomic64_read(", "read_acquire_u64"),
        (
            "acquire() smp_rmb()",
            "acquire() smp_mb__after_atomic()",
            "fence_acquire",
        ),
        ("atomic64_set_release(", "atomic64_set(", "write_release"),
    ],
)
def test_a_weaker_call_is_found(tmp_path: Path, old: str, new: str, found: str) -> None:
    functions, said = wanted(0)
    text = PLATFORM.read_text()
    assert old in text
    seen = calls(tmp_path, functions, text.replace(old, new), 0)
    assert {name for name in said if seen[name] != said[name]} == {found}
