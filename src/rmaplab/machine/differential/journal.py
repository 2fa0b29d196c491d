"""A campaign's journal: one line a program, so that it goes on where it ended, however it ended.

For the jobs. The first line says what the programs are (`Plan`), every other one the seed of a program that is through
and its counts. Lines only get appended: what a kill cut off is one line, and that program is run again.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from rmaplab.errors import RmaplabError
from rmaplab.machine.differential.counts import Counts
from rmaplab.machine.differential.plan import Plan


class Journal:
    """The journal at `path`, made if it is not there. A context manager. Raises RmaplabError if what is there is no
    journal, or one of other programs."""

    def __init__(self, path: Path, plan: Plan) -> None:
        self._path, self._plan = path, plan
        self._done: dict[int, Counts] = {}
        try:
            self._read(path.read_bytes() if path.exists() else b"")
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise RmaplabError(f"--resume: {path}: {error.strerror}") from error
        if not self._file.tell():
            self._write({"plan": plan.to_dict()})

    def _read(self, data: bytes) -> None:
        whole = data[: data.rfind(b"\n") + 1]
        if data and not whole.startswith(b'{"plan": '):
            raise RmaplabError(f"--resume: {self._path}: must be a journal of rmaplab differential, or not there yet")
        lines = whole.splitlines()
        try:
            told = [json.loads(line) for line in lines]
            if told and told[0]["plan"] != self._plan.to_dict():
                raise RmaplabError(f"--resume: {self._path}: is of other programs: {lines[0].decode()}")
            self._done = {line["seed"]: Counts.of(line["counts"]) for line in told[1:]}
        except (ValueError, KeyError, TypeError) as error:
            raise RmaplabError(f"--resume: {self._path}: is damaged: {error}") from error
        if len(whole) < len(data):
            os.truncate(self._path, len(whole))

    def done(self, seeds: Iterable[int]) -> Counts:
        """The sum of those of `seeds` that are through."""
        return sum((self._done[seed] for seed in seeds if seed in self._done), Counts())

    def left(self, seeds: Iterable[int]) -> list[int]:
        """Those of `seeds` that are not."""
        return [seed for seed in seeds if seed not in self._done]

    def add(self, seed: int, counts: Counts) -> None:
        """The program of `seed` is through. Raises RmaplabError (no space left, ...)."""
        self._done[seed] = counts
        self._write({"seed": seed, "counts": counts.to_dict()})

    def _write(self, line: dict[str, object]) -> None:
        try:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
        except OSError as error:
            raise RmaplabError(f"--resume: {self._path}: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._file.close()
