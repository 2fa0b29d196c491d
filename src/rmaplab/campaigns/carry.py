"""Carry a campaign out, or one shard of it, and keep its part up to date on the way.

For the commands. A part is written every two seconds, at the end, and when anything ends the work early; `--resume` goes
on from there.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Generic

from rmaplab.campaigns.base import Campaign, CampaignError, Engine, Here, R, Shard
from rmaplab.campaigns.store import head_of, part_path, read_part, read_result, write_part
from rmaplab.system.files import told
from rmaplab.system.signals import shielded

_WRITE_EVERY: Final = 2.0


def carry_out(
    campaign: Campaign[R],
    shard: Shard | None = None,
    directory: Path | None = None,
    engine: Engine | None = None,
    each: Callable[[int, R, R], None] = lambda *_: None,
) -> R:
    """Do the units of `shard` (all by default) that are not done yet, and return what all of them gave.

    `directory`: where the part is, or will be. `each` is told every unit done now, its result, and the sum so far. Raises
    CampaignError for a part of another campaign, and what the units raise; the part then has all that was done before.
    """
    work = _Work(campaign, shard or Shard(), directory)
    finished = False
    try:
        for unit, result in (engine or Here()).results(campaign, work.units()):
            with shielded():
                work.add(unit, result)
            each(unit, result, work.result)
        finished = True
    finally:
        with shielded():
            work.save(finished=finished)
    return work.result


class _Work(Generic[R]):
    """One shard: what is done, and the file that says so."""

    def __init__(self, campaign: Campaign[R], shard: Shard, directory: Path | None) -> None:
        self._campaign, self._shard = campaign, shard
        self._head = head_of(campaign, shard)
        self._path = None if directory is None else part_path(directory, campaign.command, shard)
        self._done: set[int] = set()
        self._finished = False
        self._spent_before = 0.0
        self.result = campaign.nothing()
        if self._path is not None:
            self._open(self._path)
        self._began = self._written = time.monotonic()

    def _open(self, path: Path) -> None:
        """Take up the part that is there; else make sure that one can be written."""
        with told(path):
            there = path.exists()
            if not there:
                path.parent.mkdir(parents=True, exist_ok=True)
        if not there:
            self._write(finished=False)
            return
        part = read_part(path)
        if wrong := part.differs(self._head):
            raise CampaignError(f"{path}: is of another campaign: {wrong}")
        if part.shard != self._shard:
            raise CampaignError(f"{path}: is part {part.shard}: must be part {self._shard}, as its name says")
        self._done, self._spent_before, self._finished = set(part.done), part.spent, part.finished
        self.result = read_result(self._campaign, part)

    def units(self) -> Iterator[int]:
        """What is still to do; with `seconds`, until these have been spent."""
        if self._finished:
            return
        for unit in self._shard.all():
            if unit >= self._campaign.units and not self._time_left():
                return
            if unit not in self._done:
                yield unit

    def _spent(self) -> float:
        return self._spent_before + (time.monotonic() - self._began)

    def _time_left(self) -> bool:
        return self._campaign.seconds is not None and self._spent() < self._campaign.seconds

    def add(self, unit: int, result: R) -> None:
        self._done.add(unit)
        self.result = self.result.merge(result)
        if time.monotonic() - self._written > _WRITE_EVERY:
            self.save(finished=False)

    def save(self, *, finished: bool) -> None:
        lacking = self._campaign.seconds is None and len(self._done) < self._shard.count(self._campaign.units)
        self._finished = self._finished or (finished and not lacking)
        if self._path is not None:
            self._write(finished=self._finished)

    def _write(self, *, finished: bool) -> None:
        assert self._path is not None
        spent = self._spent() if self._done else 0.0
        result = self.result.to_json()
        write_part(self._path, self._head, self._shard, self._done, spent, finished=finished, result=result)
        self._written = time.monotonic()
