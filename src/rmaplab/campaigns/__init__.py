"""Work in numbered units whose results add up: in shards, resumed after an interrupt, on one machine or on many.

A room that has such work gives a `Campaign` and a `Result`; `carry_out` does its units here or hands them to an engine,
and keeps a file of what is done; `merge` puts the files of all shards together. The answer is the same however the
units were dealt out, and in whichever order they came.
"""

from collections.abc import Sequence
from typing import Any

from rmaplab.campaigns.base import Campaign, CampaignError, Engine, Here, Result, Shard
from rmaplab.campaigns.carry import carry_out
from rmaplab.campaigns.merging import Parts, load_parts, merge
from rmaplab.campaigns.processes import Processes
from rmaplab.campaigns.rows import Rows

Json = dict[str, Any] | Sequence[Any]

__all__ = [
    "Campaign",
    "CampaignError",
    "Engine",
    "Here",
    "Json",
    "Parts",
    "Processes",
    "Result",
    "Rows",
    "Shard",
    "carry_out",
    "load_parts",
    "merge",
]
