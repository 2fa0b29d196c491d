"""Every definition that a claim uses and that computes is evaluated by the link tests, itself or inside another.

Claims and bodies are what Rocq printed into signed.txt; what is evaluated is the text of the scripts of the link tests.
"""

import re
from collections.abc import Iterable
from pathlib import Path

import test_link
import test_link_edges
import test_link_machines
import test_link_width
from rocq import PROOFS

NOT_LINKED = {
    "seventy": "data: `witnesses_collide` computes with all of it, and tests/verify compares it with the refuter's",
    "posted_witnesses": "data",
    "too_few_values": "data",
    "out_of_range": "data",
    "witnesses": "data",
    "sum_of": "times of sections, which no code adds up: only `wrap_takes` speaks of them",
}
"""Why each is left out."""


def entries(title: str) -> dict[str, str]:
    """Short name -> what Rocq prints, of one half of signed.txt."""
    text = (PROOFS / "signed.txt").read_text()
    half = text.split(f"==== {title}: ")[1].split("==== ")[0]
    found = re.findall(r"^Rmaplab\.\w+\.(\w+)\n((?:    .*\n|\n)*)", half, re.MULTILINE)
    assert len({name for name, _ in found}) == len(found), "a short name stands for one thing"
    return dict(found)


def reached(names: Iterable[str], bodies: dict[str, str]) -> set[str]:
    """`names`, as far as they have bodies, and all that those mention."""
    todo, seen = list(names), set[str]()
    while todo:
        name = todo.pop()
        if name in bodies and name not in seen:
            seen.add(name)
            todo += re.findall(r"\w+", bodies[name])
    return seen


def computes(body: str) -> bool:
    """Not a type, not a proposition, not one about its arguments."""
    return not re.match(r"\s*(Record|Inductive|Variant)\b", body) and not re.search(r"\b(Prop|Set|Type)\s*$", body)


def evaluated() -> str:
    """All that the link tests have Rocq evaluate, in its words."""
    parts = [term for part in test_link_edges.PARTS.values() for term, _ in part]
    written = [
        test_link.PRELUDE,
        test_link_edges.MORE,
        test_link_width.LOOK,
        Path(__file__).with_name("Machines.v").read_text(),
    ]
    judges = test_link_machines.JUDGES | test_link_machines.MORE_JUDGES
    tables = [*test_link.MACHINES.values(), *(f"{a} {v}" for a, v in test_link.LINEAR.values()), *judges.values()]
    return "\n".join([*parts, *written, *tables, test_link_machines.EQUATION, "layouts"])


def test_every_definition_that_a_claim_uses_is_evaluated_beside_the_code() -> None:
    claims, definitions = entries("Claims"), entries("Definitions")
    used = reached(claims, claims | definitions) - set(claims)
    linked = reached(re.findall(r"\w+", evaluated()), definitions)
    assert len(used) > 150
    missing = {name for name in used - linked if computes(definitions[name])}
    assert missing == set(NOT_LINKED)
