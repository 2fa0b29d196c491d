"""Rocq for tests: compile theories, evaluate terms, and a compiled copy of the theories to work in."""

import ast
import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

PROOFS = Path(__file__).parents[2] / "proofs"
THEORIES = PROOFS / "theories"

needs_coqc = pytest.mark.skipif(shutil.which("coqc") is None, reason="coqc: not found (Debian package coq)")

STATED = ["Definitions", "Witnesses", "Statements", "System", "Interleaved", "Uniform", "Width", "Play"]
"""Theories that are read: definitions, and what is claimed of them."""
ORDER = [
    *STATED,
    "Bookkeeping",
    "Linear",
    "Generations",
    "Values",
    "MmId",
    "Counters",
    "Collisions",
    "MomentsFlag",
    "Reuse",
    "Isolation",
    "IsolationSchemes",
    "Leaks",
    "Saturation",
    "Interleaving",
    "Road",
    "Weights",
    "Density",
    "Wrapping",
    "Playing",
]
"""The theories, each after all it imports."""


def load_audit() -> ModuleType:
    """proofs/audit.py, which is a script beside the proofs and no part of a package."""
    spec = importlib.util.spec_from_file_location("audit", PROOFS / "audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def compile_theory(folder: Path, name: str, *options: str) -> subprocess.CompletedProcess[str]:
    """coqc OPTIONS NAME.v in `folder`; returncode and stderr tell. -vos skips the proofs, -vok then checks them."""
    command = ["coqc", *options, "-Q", ".", "Rmaplab", f"{name}.v"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def build(folder: Path, names: list[str]) -> Path:
    """A copy of the theories in `folder`, with the theories `names` compiled."""
    for source in THEORIES.glob("*.v"):
        shutil.copy(source, folder)
    for name in names:
        done = compile_theory(folder, name)
        assert done.returncode == 0, done.stderr
    return folder


def evaluate(folder: Path, script: str) -> list[object]:
    """The values that the `Eval vm_compute` commands of `script` print: lists of integers, nested as they are."""
    (folder / "Script.v").write_text("From Coq Require Import ZArith List.\n" + script)
    done = compile_theory(folder, "Script")
    assert done.returncode == 0, done.stderr
    printed = re.findall(r"^\s+= (.*?)^\s+: list", done.stdout, re.MULTILINE | re.DOTALL)
    return [ast.literal_eval(value.replace(";", ",")) for value in printed]


def needed(theory: str) -> list[str]:
    """`theory` and all it imports, in an order that compiles."""
    wanted, open_ends = set(), [theory]
    while open_ends:
        name = open_ends.pop()
        wanted.add(name)
        imports = re.search(r"From Rmaplab Require Import ([\w ]+)\.", (THEORIES / f"{name}.v").read_text())
        open_ends += imports[1].split() if imports else []
    return [name for name in ORDER if name in wanted]


def replace(path: Path, old: str, new: str) -> None:
    """The one place where `old` stands becomes `new`."""
    text = path.read_text()
    assert text.count(old) == 1, f"{path.name}: {old!r} stands {text.count(old)} times"
    path.write_text(text.replace(old, new))


def signed_claims() -> list[str]:
    """The short names of all claims in signed.txt, in their order."""
    claims = (PROOFS / "signed.txt").read_text().split("==== ")[1]
    return re.findall(r"^Rmaplab\.\w+\.(\w+)$", claims, re.MULTILINE)
