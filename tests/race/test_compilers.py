"""What compilers make of core/platform.h is what the machines' mappings say: instruction by instruction."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from rmaplab.sources import CORE
from rmaplab.verify.race.engine import Row
from rmaplab.verify.race.mappings import MAPPINGS

OPERATIONS = {
    "read": "u64 {name}(u64 *p) {{ return rmap_read(p); }}",
    "write": "void {name}(u64 *p, u64 v) {{ rmap_write(p, v); }}",
    "read_acquire": "u64 {name}(u64 *p) {{ return rmap_read_acquire(p); }}",
    "write_release": "void {name}(u64 *p, u64 v) {{ rmap_write_release(p, v); }}",
    "add": "void {name}(u64 *p, u64 v) {{ rmap_add(p, v); }}",
    "add_release": "void {name}(u64 *p, u64 v) {{ rmap_add_release(p, v); }}",
    "add_return": "u64 {name}(u64 *p, u64 v) {{ return rmap_add_return(p, v); }}",
    "add_return_acquire": "u64 {name}(u64 *p, u64 v) {{ return rmap_add_return_acquire(p, v); }}",
    "add_negative": "int {name}(s64 *p, s64 v) {{ return rmap_add_negative(p, v); }}",
    "fetch_or_acquire": "u64 {name}(u64 *p, u64 v) {{ return rmap_fetch_or_acquire(p, v); }}",
    "cmpxchg_acquire": "int {name}(u64 *p, u64 o, u64 v) {{ return rmap_try_cmpxchg_acquire(p, &o, v); }}",
    "fence_release": "void {name}(void) {{ rmap_fence_release(); }}",
    "fence_acquire": "void {name}(void) {{ rmap_fence_acquire(); }}",
}
"""By the row that each is: functions of what the compilers see."""

BARRIERS = {
    "DMB": "dmb ish",
    "DMB.LD": "dmb ishld",
    "LWSYNC": "lwsync",
    "SYNC": "sync",
    "ISYNC": "isync",
    "Fence.r.rw": "fence r,rw",
    "Fence.rw.w": "fence rw,w",
}
INSTRUCTIONS = {
    "armv8": r"ldr|str|ldar|stlr|(?:ldadd|stadd|ldset|cas)a?l?|dmb \w+",
    "armv8-llsc": r"ldr|str|ldar|stlr|lda?xr|stl?xr|dmb \w+",
    "riscv": r"ld|sd|(?:amo\w+|lr|sc)\.d(?:\.\w+)?|fence \w+,\w+",
    "power": r"ld|std|ldarx|stdcx\.|lwsync|sync|isync",
}
GCC, CLANG = "aarch64-linux-gnu-gcc", "clang"
COMPILERS = [
    ("armv8", GCC, ("-march=armv8.1-a",)),
    ("armv8", CLANG, ("--target=aarch64-linux-gnu", "-march=armv8.1-a")),
    ("armv8-llsc", GCC, ("-march=armv8-a", "-mno-outline-atomics")),
    ("armv8-llsc", CLANG, ("--target=aarch64-linux-gnu", "-march=armv8-a", "-mno-outline-atomics")),
    ("riscv", CLANG, ("--target=riscv64-linux-gnu", "-march=rv64gc")),
    ("power", CLANG, ("--target=powerpc64le-linux-gnu",)),
]


def said_by(column: str, name: str, row: Row) -> tuple[str, ...]:
    """The instructions of a row, by its tags."""
    before, after = ([BARRIERS[tag] for tag in tags] for tags in (row.before, row.after))
    acquires, releases = {"A", "Acq"} & set(row.read), {"L", "Rel"} & set(row.write)
    if name.startswith("fence"):
        access: tuple[str, ...] = ()
    elif name.startswith(("read", "write")):
        plain = {"riscv": ("ld", "sd"), "power": ("ld", "std")}.get(column, ("ldr", "str"))
        marked = ("ldar", "stlr") if acquires or releases else plain
        access = (marked[name.startswith("write")],)
    elif column == "power":
        access = ("ldarx", "stdcx.")
    elif column == "riscv":
        order = "." + "aq" * bool(acquires) + "rl" * bool(releases) if acquires or releases else ""
        if "X" in row.read:
            access = ("lr.d" + ".aq" * bool(acquires), "sc.d" + ".rl" * bool(releases))
        else:
            access = (("amoor" if name.startswith("fetch_or") else "amoadd") + ".d" + order,)
    elif column == "armv8":
        word = "cas" if name.startswith("cmpxchg") else "ldset" if name.startswith("fetch_or") else "ldadd"
        access = (word + "a" * bool(acquires) + "l" * bool(releases),)
    else:
        access = ("ld" + "a" * bool(acquires) + "xr", "st" + "l" * bool(releases) + "xr")
    return (*before, *access, *after)


def emitted(assembly: str, column: str) -> dict[str, tuple[str, ...]]:
    """By function: accesses and barriers in order, without what stands there twice in a row."""
    found: dict[str, list[str]] = {}
    for line in assembly.splitlines():
        if label := re.match(r"(f_\w+):", line):
            found[label[1][2:]] = here = []
        elif found and (
            one := re.match(rf"\s+({INSTRUCTIONS[column]})(?:\s|$)", re.sub(r"\s*,\s*", ",", line).expandtabs(1))
        ):
            word = re.sub(r"^stadd", "ldadd", one[1])
            if here[-1:] != [word]:
                here.append(word)
    return {name: tuple(words) for name, words in found.items()}


@pytest.mark.parametrize(("column", "compiler", "flags"), COMPILERS, ids=lambda v: v if isinstance(v, str) else "")
def test_compilers_emit_what_the_mapping_says(column: str, compiler: str, flags: tuple[str, ...], tmp_path: Path) -> None:
    """Power: clang 14 has lwsync behind an acquire where the mapping has the weaker isync."""
    if not shutil.which(compiler):
        pytest.skip(f"needs {compiler}")
    source = tmp_path / "operations.c"
    text = "\n".join(function.format(name=f"f_{name}") for name, function in OPERATIONS.items())
    source.write_text(f'#include "platform.h"\n{text}\n')
    call = [compiler, *flags, "-std=gnu11", "-ffreestanding", "-O2", "-S", "-o", "-", f"-I{CORE}", str(source)]
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    found = emitted(done.stdout, column)
    assert set(found) == set(OPERATIONS)
    for name, words in found.items():
        said = said_by(column, name, MAPPINGS[column][1][name])
        stronger = tuple("lwsync" if word == "isync" else word for word in said)
        assert words == said or (column == "power" and words == stronger), name
