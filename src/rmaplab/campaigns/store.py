"""The file of a part: which campaign, which part of it, what is done, and what that gave.

For `carry` and `merging`. A file is replaced whole, so that whoever is killed leaves the last state that was written. It
carries a SHA-256 of its content: what was cut off or changed is not believed.
"""

import hashlib
import json
import platform
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rmaplab.campaigns.base import Campaign, CampaignError, R, Shard
from rmaplab.campaigns.code import code
from rmaplab.system.files import write_file
from rmaplab.text import for_json

FORMAT: Final = "rmaplab part of a campaign"
VERSION: Final = 1
NAME: Final = re.compile(r"[a-z][a-z-]*-[0-9]+-of-[0-9]+\.json")

_COMMON: Final = ("command", "rmaplab", "machine", "units", "seconds", "of")
"""Besides the parameters, what all parts of one campaign agree on."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A part as its file says: `head` names the campaign, `done` are its units, `spent` the seconds they took."""

    path: Path
    head: Mapping[str, Any]
    shard: Shard
    done: frozenset[int]
    spent: float
    finished: bool
    result: Any

    def differs(self, head: Mapping[str, Any]) -> str | None:
        """The first thing in which the part's campaign is not the one of `head`, in words; None if it is the same."""
        return next(_differences(self.head, head), None)


def head_of(campaign: Campaign[R], shard: Shard) -> dict[str, Any]:
    """What names a campaign and its cut, as it stands in a file: command, code, architecture, units and parameters."""
    parameters = {name: _as_stored(value) for name, value in campaign.parameters().items()}
    known = (campaign.command, code(), platform.machine(), campaign.units, campaign.seconds, shard.of)
    return {**dict(zip(_COMMON, known, strict=True)), "parameters": parameters}


def part_path(directory: Path, command: str, shard: Shard) -> Path:
    """Where a part is."""
    return directory / f"{command}-{shard.number}-of-{shard.of}.json"


def write_part(
    path: Path, head: Mapping[str, Any], shard: Shard, done: Iterable[int], spent: float, *, finished: bool, result: Any
) -> None:
    """Replace the file of a part. Raises RmaplabError."""
    body = {
        "format": FORMAT,
        "version": VERSION,
        **head,
        "part": shard.number,
        "finished": finished,
        "spent": spent,
        "done": _runs(sorted((unit - shard.number + 1) // shard.of for unit in done)),
        "result": result,
    }
    write_file(path, json.dumps({**body, "sha256": _sum(body)}, indent=1, allow_nan=False) + "\n")


def read_part(path: Path) -> Stored:
    """Read the file of a part. Raises CampaignError, naming it and the rule."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CampaignError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise CampaignError(f"{path}: is not JSON: {error}") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise CampaignError(f'{path}: must be an object with "format": "{FORMAT}"')
    if found.get("version") != VERSION:
        raise CampaignError(f"{path}: version {_short(found.get('version'))}: must be {VERSION}")
    told = found.pop("sha256", None)
    if told != (real := _sum(found)):
        raise CampaignError(f"{path}: SHA-256 {_short(told)}: must be {real}: the file was cut off or changed")
    try:
        shard = Shard(found["part"], found["of"])
        head = {name: found[name] for name in _COMMON} | {"parameters": dict(found["parameters"])}
        places = [place for low, high in found["done"] for place in range(low, high + 1)]
        done = frozenset(shard.number - 1 + place * shard.of for place in places)
        return Stored(path, head, shard, done, float(found["spent"]), bool(found["finished"]), found["result"])
    except (KeyError, TypeError, ValueError, CampaignError) as error:
        raise CampaignError(f"{path}: is no part of a campaign: {error}") from error


def read_result(campaign: Campaign[R], part: Stored) -> R:
    """The result in a part. Raises CampaignError."""
    try:
        return campaign.read(part.result)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CampaignError(f"{part.path}: result: is none of {campaign.command}: {error}") from error


def _differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[str]:
    for name in _COMMON:
        if ours[name] != theirs[name]:
            yield f"{name} {_short(ours[name])}: must be {_short(theirs[name])}"
    one, other = ours["parameters"], theirs["parameters"]
    for name in sorted({*one, *other}):
        if one.get(name) != other.get(name):
            yield f"{name} {_short(one.get(name))}: must be {_short(other.get(name))}"


def _as_stored(value: Any) -> Any:
    return json.loads(json.dumps(for_json(value) if isinstance(value, str) else value, allow_nan=False))


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _sum(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _runs(places: list[int]) -> list[list[int]]:
    """Ascending numbers as runs [first, last]."""
    runs: list[list[int]] = []
    for place in places:
        if runs and place == runs[-1][1] + 1:
            runs[-1][1] = place
        else:
            runs.append([place, place])
    return runs
