"""Judged parts as JSON, and back: for the files of a campaign's parts.

For `rmaplab.judge.campaign`. Not the JSON that commands print (`to_dict`): that leaves out what sums need.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rmaplab.engine import Price
from rmaplab.judge.happened import Happened
from rmaplab.judge.parts import Judged
from rmaplab.judge.results import Copies, Judgement, SchemeJudgement, Tally, WrongCase
from rmaplab.schemes import Predicate
from rmaplab.trace import Meta, Verdict


def judged_to_json(judged: Judged) -> dict[str, Any]:
    """All of it but the trace's Meta."""
    happened = judged.happened
    return {
        "happened": {
            "mms": sorted(happened.mms),
            "folios": _pairs(happened.folios),
            "events": happened.events,
            "questions": happened.questions,
            "cow_faults": happened.cow_faults,
            "pages": _pairs(happened.pages),
        },
        "schemes": [_scheme_to_json(one) for one in judged.judgement.schemes.values()],
        "avoidable_copies": asdict(judged.judgement.avoidable_copies),
    }


def judged_of(value: Any, meta: Meta) -> Judged:
    """Back. Raises KeyError, TypeError, ValueError, AttributeError."""
    found = value["happened"]
    happened = Happened(
        meta,
        frozenset(map(int, found["mms"])),
        {int(order): int(count) for order, count in found["folios"]},
        int(found["events"]),
        int(found["questions"]),
        int(found["cow_faults"]),
        {outcome: int(count) for outcome, count in found["pages"]},
    )
    schemes = {one.name: one for one in map(_scheme_of, value["schemes"])}
    return Judged(happened, Judgement(schemes, Copies(**value["avoidable_copies"])))


def _scheme_to_json(one: SchemeJudgement) -> dict[str, Any]:
    return {
        "name": one.name,
        "predicate": str(one.predicate),
        "by": [[order, what, asdict(tally)] for (order, what), tally in one.by.items()],
        "wrong": [
            {**asdict(case), "mappings": _pairs(case.mappings), "verdict": int(case.verdict), "truth": int(case.truth)}
            for case in one.wrong
        ],
        "price": {
            "by_order": _pairs(one.price.by_order),
            "folios": _pairs(one.price.folios),
            "events": one.price.events,
            "rmw": one.price.rmw,
        },
        "saved": asdict(one.saved),
        "observed": one.observed,
    }


def _scheme_of(value: Mapping[str, Any]) -> SchemeJudgement:
    price = value["price"]
    return SchemeJudgement(
        str(value["name"]),
        Predicate(value["predicate"]),
        {(int(order), str(what)): Tally(**tally) for order, what, tally in value["by"]},
        tuple(
            WrongCase(
                **{
                    **case,
                    "mappings": dict(case["mappings"]),
                    "verdict": Verdict(case["verdict"]),
                    "truth": Verdict(case["truth"]),
                }
            )
            for case in value["wrong"]
        ),
        Price(dict(price["by_order"]), dict(price["folios"]), int(price["events"]), int(price["rmw"])),
        Copies(**value["saved"]),
        bool(value["observed"]),
    )


def _pairs(mapping: Mapping[Any, int]) -> list[list[Any]]:
    return [[key, count] for key, count in mapping.items()]
