"""The parts of a campaign put together: all of them, each once, of one campaign, and finished.

For `rmaplab merge`. What is missing, there twice, unfinished or foreign is named.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmaplab.campaigns.base import Campaign, CampaignError, R
from rmaplab.campaigns.store import NAME, Stored, read_part, read_result


@dataclass(frozen=True, slots=True)
class Parts:
    """All parts of one campaign, by number."""

    command: str
    parameters: dict[str, Any]
    listed: tuple[Stored, ...]


def load_parts(directories: Iterable[Path]) -> Parts:
    """The parts in these directories. Raises CampaignError unless they are all parts of one campaign, each once."""
    found: dict[int, Stored] = {}
    first: Stored | None = None
    for path in _files(directories):
        part = read_part(path)
        first = first or part
        if wrong := part.differs(first.head):
            raise CampaignError(f"{path}: is of another campaign than {first.path}: {wrong}")
        number = part.shard.number
        if number in found:
            raise CampaignError(f"{path}: part {part.shard} is there twice: also in {found[number].path}")
        if not part.finished:
            rule = "--resume goes on with it"
            raise CampaignError(f"{path}: part {part.shard} is not finished: {len(part.done)} units done: {rule}")
        found[number] = part
    assert first is not None
    of = first.shard.of
    if missing := [number for number in range(1, of + 1) if number not in found]:
        also = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise CampaignError(f"{first.head['command']}: part {missing[0]}/{of}{also}: missing")
    listed = tuple(found[number] for number in sorted(found))
    return Parts(str(first.head["command"]), dict(first.head["parameters"]), listed)


def merge(campaign: Campaign[R], parts: Parts) -> R:
    """What all parts gave together. Raises CampaignError."""
    result = campaign.nothing()
    for part in parts.listed:
        one = read_result(campaign, part)
        try:
            result = result.merge(one)
        except ValueError as error:
            raise CampaignError(f"{part.path}: {error}") from error
    return result


def _files(directories: Iterable[Path]) -> list[Path]:
    """The files of parts; a directory named twice counts once."""
    files: dict[Path, Path] = {}
    for directory in directories:
        try:
            mine = sorted(one for one in directory.iterdir() if NAME.fullmatch(one.name))
        except OSError as error:
            raise CampaignError(f"{directory}: cannot be read: {error.strerror}") from error
        if not mine:
            raise CampaignError(f"{directory}: holds no part of a campaign")
        files.update({one.resolve(): one for one in mine})
    return list(files.values())
