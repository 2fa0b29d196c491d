"""A refutation as a Rocq theorem: for every configuration the refuter rejects, its witness is a collision.

For `rmaplab refute --rocq`, whose output `coqc -Q proofs/theories Rmaplab` checks after `make prove`. The claim is
`collision` of proofs/theories/Statements.v; nothing of the refuter is trusted.
"""

from collections.abc import Iterable

from rmaplab.schemes.packed import SUM_AT
from rmaplab.verify.refute.problem import Config, Finding, Witness
from rmaplab.verify.refute.words import chunks, halves

_SCRIPT = """\
From Coq Require Import ZArith List.
From Rmaplab Require Import Definitions Statements Collisions.
Import ListNotations.
Open Scope Z_scope.

Theorem refuted : Forall collision [
  {entries}
].
Proof.
  apply Forall_forall. intros t ht. apply collision_check_right. revert t ht.
  apply forallb_forall. vm_compute. reflexivity.
Qed.
Print Assumptions refuted.
"""


def script(findings: Iterable[Finding]) -> str:
    """A .v file that proves the witness of every refuted finding a collision."""
    entries = [entry(f.config, f.witness) for f in findings if f.witness is not None]
    return _SCRIPT.format(entries=";\n  ".join(entries))


def entry(config: Config, witness: Witness) -> str:
    """A term of type `witness` (proofs/theories/Definitions.v)."""
    mapped = "; ".join(f"({mm}, {pages})" for mm, pages in witness.mappings.items())
    numbers = f"{config.order} {config.id_bits} {config.word_bits} {witness.mm}"
    return f"Witness ({_scheme(config)}) {numbers} [{mapped}]"


def _scheme(config: Config) -> str:
    if config.scheme == "moments":
        return "Moments"
    if config.scheme == "packed":
        return f"Packed {SUM_AT}"
    if config.scheme == "one-value":
        a, c = halves(config.id_bits)
        return f"OneValue {a} {c}"
    if config.scheme == "bits":
        return f"Bits {config.id_bits}"
    read = chunks(config)
    base = read.weights[1] if len(read.weights) > 1 else config.pages + 1
    return f"Generations {base} {len(read.weights)} {config.values}"
