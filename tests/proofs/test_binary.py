"""The compiled C core equals Definitions.v, for all inputs; and a fault of one line in it does not."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rocq import PROOFS, needs_coqc, replace

pytest.importorskip("pyvex", reason="pyvex: not installed (extra dev)")
pytestmark = [needs_coqc, pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc: not found")]

CORE = PROOFS.parent / "core"

FUNCTIONS = (
    "moments_shared_set_first",
    "packed_set_first",
    "moments_flag_cow_reuse",
    "moments_shared_verdict",
    "packed_verdict",
)
"""A few that are proved in seconds; `make binary` proves the rest."""

FAULTS = {
    "moments trust one mapping more": (
        "moments.h", "~0ull / (d24 * d24) :", "~0ull / (d24 * d24) + 1 :", "moments_shared_verdict"),
    "a value gets another's addend": (
        "linear.h", "rmap_add(&folio->value[k], add);", "rmap_add(&folio->value[0], add);", "moments_shared_map"),
    "mm-id reuses whatever is referenced": (
        "mm_id.h", "rmap_read(&folio->refcount) == rmap_read(&folio->mapcount)",
        "rmap_read(&folio->refcount) >= rmap_read(&folio->mapcount)", "mm_id_cow_reuse"),
    "moments-flag adds the ID for its square": (
        "moments_flag.h", "rmap_plain_read(squares) + add * id)", "rmap_plain_read(squares) + add)", "moments_flag_map"),
    "moments-flag's first sum forgets the mappings": (
        "moments_flag.h", "const u64 sum = (u64)(s64)nr * mm->id;", "const u64 sum = mm->id;", "moments_flag_set_first"),
    "mm-id clears its flag for who has more than all": (
        "mm_id.h", "== total)\n\t\t\treturn word", "> total)\n\t\t\treturn word", "mm_id_unmap"),
    "packed's COW decision keeps the word": (
        "packed.h", "rmap_write_release(&folio->packed.lo, word.lo);",
        "rmap_write_release(&folio->packed.lo, frozen.lo);", "packed_cow_reuse"),
    "packed-fallback counts on without room": (
        "packed.h", "if (unlikely(!rmap_packed_room(lo, nr)))", "if (unlikely(0))", "packed_fallback_map"),
}  # fmt: skip
"""A line of the core, what becomes of it, and the function that then differs."""


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    if not (PROOFS / "theories" / "Definitions.vo").exists():
        done = subprocess.run(
            ["coqc", "-Q", "theories", "Rmaplab", "theories/Definitions.v"],
            cwd=PROOFS,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


def check(functions: tuple[str, ...], core: Path = CORE) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROOFS / "binary"), "--quick", "--json", "--core", str(core), *functions]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_machine_code_equals_the_definitions_for_all_inputs() -> None:
    done = check(FUNCTIONS)
    assert {row["function"]: row["found"] for row in json.loads(done.stdout)} == {name: [] for name in FUNCTIONS}
    assert done.returncode == 0


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_one_line_is_a_difference_with_values(fault: str, tmp_path: Path) -> None:
    header, old, new, function = FAULTS[fault]
    core = shutil.copytree(CORE, tmp_path / "core")
    replace(core / header, old, new)
    done = check((function,), core)
    assert done.returncode == 1, done.stderr
    assert any("refuted" in found for row in json.loads(done.stdout) for found in row["found"]), done.stdout


def test_an_unknown_function_is_usage() -> None:
    done = check(("nothing",))
    assert (done.returncode, done.stderr.splitlines()[-1]) == (2, "nothing: no such function, or no claim on it")
