"""Verdicts against the truth: which scheme is wrong, where, and what a precise answer would have saved."""

from rmaplab.judge.judging import SHOWN, avoidable_copies, judge
from rmaplab.judge.results import Copies, Judgement, SchemeJudgement, Tally, WrongCase

__all__ = [
    "SHOWN",
    "Copies",
    "Judgement",
    "SchemeJudgement",
    "Tally",
    "WrongCase",
    "avoidable_copies",
    "judge",
]
