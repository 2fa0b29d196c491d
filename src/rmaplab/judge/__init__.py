"""Verdicts against the truth: which scheme is wrong, where, and what a precise answer would have saved."""

from rmaplab.judge.happened import Happened
from rmaplab.judge.judging import avoidable_copies, judge
from rmaplab.judge.parts import Judged, judge_numbered, judge_part, judge_parts
from rmaplab.judge.results import SHOWN, Copies, Judgement, SchemeJudgement, Tally, WrongCase

__all__ = [
    "SHOWN",
    "Copies",
    "Happened",
    "Judged",
    "Judgement",
    "SchemeJudgement",
    "Tally",
    "WrongCase",
    "avoidable_copies",
    "judge",
    "judge_numbered",
    "judge_part",
    "judge_parts",
]
