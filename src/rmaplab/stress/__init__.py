"""Races under load: run the C core's schemes from several threads or processes, and judge every answer afterwards.

`races` runs and records, `judge` decides which answers were impossible, `linear` whether any order explains them
together, `counters` compares what is left with what it must be. For `rmaplab stress` and the tests.
"""

from rmaplab.stress.counters import wrong_counters
from rmaplab.stress.judge import Finding, impossible_answers
from rmaplab.stress.linear import not_linearizable
from rmaplab.stress.races import History, Race, ids_for, run

__all__ = [
    "Finding",
    "History",
    "Race",
    "findings",
    "ids_for",
    "impossible_answers",
    "not_linearizable",
    "run",
    "wrong_counters",
]


def findings(history: History) -> list[Finding]:
    """Everything that is wrong with a history. Of one that hangs the counters say nothing."""
    if history.hangs:
        text = f"{history.race.variant.name}: hangs: a worker had not returned after {history.race.deadline:g} s"
        return [Finding(text), *impossible_answers(history)]
    return [*impossible_answers(history), *not_linearizable(history), *wrong_counters(history)]
