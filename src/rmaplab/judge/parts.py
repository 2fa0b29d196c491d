"""A trace judged part by part: the same answer as in one piece, in the memory of one part.

For `rmaplab run --on trace` and `rmaplab trace judge`. What one part gives adds up with the others' in any order.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from rmaplab.errors import RmaplabError
from rmaplab.judge.happened import Happened
from rmaplab.judge.judging import judge
from rmaplab.judge.results import Judgement, SchemeJudgement
from rmaplab.schemes import IdRangeError, Scheme
from rmaplab.trace import Meta, Part, PartedTrace


@dataclass(frozen=True, slots=True)
class Judged:
    """What happened in some parts of a trace, and how its schemes did."""

    happened: Happened
    judgement: Judgement

    @classmethod
    def nothing(cls, meta: Meta) -> "Judged":
        """Of no part."""
        return cls(Happened(meta), Judgement.nothing())

    def merge(self, other: Self) -> "Judged":
        """Of both."""
        return Judged(self.happened.merge(other.happened), self.judgement.merge(other.judgement))


def judge_part(part: Part, schemes: Iterable[Scheme]) -> Judged:
    """Judge one part; folios and rows are named as the whole trace names them. Raises IdRangeError."""
    found = judge(part.trace, schemes)
    own = {name: _placed(one, part.first_folio, part.question_rows) for name, one in found.schemes.items()}
    return Judged(Happened.of(part.trace), replace(found, schemes=own))


def judge_parts(parts: PartedTrace, schemes: Iterable[Scheme]) -> Judged:
    """Judge all parts, one after the other. Raises TraceError, and RmaplabError naming the part for an IdRangeError."""
    chosen, result = list(schemes), Judged.nothing(parts.meta)
    for index in range(len(parts)):
        result = result.merge(judge_numbered(parts, index, chosen))
    return result


def judge_numbered(parts: PartedTrace, index: int, schemes: Iterable[Scheme]) -> Judged:
    """Read and judge part `index`."""
    try:
        return judge_part(parts.part(index), schemes)
    except IdRangeError as error:
        raise RmaplabError(f"{parts.path}: part {index}: {error}") from error


def _placed(one: SchemeJudgement, first: int, rows: NDArray[np.uint64]) -> SchemeJudgement:
    wrong = tuple(replace(case, row=int(rows[case.row]), folio=first + case.folio) for case in one.wrong)
    return replace(one, wrong=wrong)
