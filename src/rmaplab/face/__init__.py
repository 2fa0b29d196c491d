"""The face of rmaplab for notebooks and scripts: one function per question, results that show themselves.

`rmaplab/__init__.py` hands these out when they are used. No logic: each function calls the room that answers. Errors are
`rmaplab.errors.RmaplabError` (bad input: thing, value, rule) and its kind `NotAvailable` (not permitted here, or an
extra is missing).
"""

from rmaplab.face.ask import bench, compare, inspect, judge, open_machine, refute, registry_html, run
from rmaplab.face.results import Comparison, Inspection, Prices, Refutation, Run, StepComparison

__all__ = [
    "Comparison",
    "Inspection",
    "Prices",
    "Refutation",
    "Run",
    "StepComparison",
    "bench",
    "compare",
    "inspect",
    "judge",
    "open_machine",
    "refute",
    "registry_html",
    "run",
]
