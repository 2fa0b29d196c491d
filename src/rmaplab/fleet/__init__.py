"""Many hosts' memory: one small summary per host and look, and what any number of them say together.

`summarise` makes a host's summary from a look of the inspector, `store` keeps it below `day=.../host=...`, `answer` reads
any number of them. Not here: how a host is looked at (`rmaplab.inspect`), how an answer is shown (`rmaplab.report`).
"""

from rmaplab.fleet.answer import Answer, answer
from rmaplab.fleet.store import scan, store
from rmaplab.fleet.summary import MOST_BYTES, SCHEMA, Hashed, as_parquet, merge, nothing, summarise

__all__ = [
    "MOST_BYTES",
    "SCHEMA",
    "Answer",
    "Hashed",
    "answer",
    "as_parquet",
    "merge",
    "nothing",
    "scan",
    "store",
    "summarise",
]
