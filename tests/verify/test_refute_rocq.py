"""Refutations as Rocq theorems: the proof checker accepts the witnesses, and no changed one."""

import subprocess
from dataclasses import replace

import pytest

from proofs.rocq import build, compile_theory, needs_coqc
from rmaplab.verify.refute.decide import decide
from rmaplab.verify.refute.problem import Finding
from rmaplab.verify.refute.rocq import script
from rmaplab.verify.refute.words import configure

NEEDED = ["Definitions", "Witnesses", "Statements", "Bookkeeping", "Collisions"]


@pytest.fixture(scope="module")
def findings() -> list[Finding]:
    options = [
        ("generations", 7, None, 24, 64),
        ("generations", 9, 2, 24, 64),
        ("generations-safe", 5, 1, 10, 20),
        ("bits", 5, None, 3, 4),
        ("moments", 3, None, 32, 64),
        ("one-value", 9, None, 20, 64),
        ("packed", 8, None, 30, 64),
    ]
    return [decide(configure(*option)) for option in options]


@needs_coqc
def test_rocq_accepts_the_witness_of_every_scheme_and_no_other(tmp_path, findings):
    folder = build(tmp_path, NEEDED)
    accepted = _check(folder, findings)
    assert accepted.returncode == 0, accepted.stderr
    assert "Closed under the global context" in accepted.stdout
    for finding in findings:
        witness = finding.witness
        assert witness is not None
        first = next(iter(witness.mappings))
        changed = replace(witness, mappings={**witness.mappings, first: witness.mappings[first] + 1})
        assert _check(folder, [replace(finding, witness=changed)]).returncode != 0


def _check(folder, findings) -> subprocess.CompletedProcess[str]:
    (folder / "Refuted.v").write_text(script(findings))
    return compile_theory(folder, "Refuted")
