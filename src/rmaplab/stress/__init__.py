"""Races under load: run the C core's schemes from several threads or processes, and judge every answer afterwards.

`races` runs and records, `judge` decides which answers were impossible, `counters` compares what is left with what it
must be, `weakmem` explores the sequence count under a weak memory model. For `rmaplab stress` and the tests.
"""

from rmaplab.stress.counters import wrong_counters
from rmaplab.stress.judge import Finding, impossible_answers
from rmaplab.stress.races import History, Race, ids_for, run

__all__ = ["Finding", "History", "Race", "ids_for", "impossible_answers", "run", "wrong_counters"]
