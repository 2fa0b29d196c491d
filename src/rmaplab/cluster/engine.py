"""Units as Dask tasks: some in flight for every worker, done again where a worker died, cancelled when the work ends.

A unit whose worker dies goes to another one. What a unit itself raises for a bad argument is not tried again; anything
else is, a few times. Results are merged by whoever asked, in the order they come.
"""

import itertools
import logging
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import dask
from distributed import Client, Future, KilledWorker, LocalCluster, as_completed

from rmaplab.campaigns import Campaign, CampaignError
from rmaplab.campaigns.base import R
from rmaplab.campaigns.code import code
from rmaplab.errors import NotAvailable, RmaplabError

_RETRIES: Final = 2
_DEATHS: Final = 10
"""Workers that may die at a unit before the unit is held to be the reason."""
_IN_FLIGHT: Final = 2
"""Units a worker has: the one it does and the one it will do next."""
_CONNECT: Final = 20
"""Seconds to reach a scheduler."""
_LOCAL: Final = re.compile(r"local(?::([1-9][0-9]{0,3}))?")


@contextmanager
def connected(scheduler: str) -> Iterator["DaskEngine"]:
    """The engine behind `scheduler`: `local` (a process for each CPU), `local:N`, or a scheduler's address.

    Raises RmaplabError (no such thing), NotAvailable (nobody answers there, or nobody works for it).
    """
    local = _LOCAL.fullmatch(scheduler)
    if not local and not re.fullmatch(r"(tcp|tls|ws|wss|ucx|inproc)://\S+", scheduler):
        rule = "must be local, local:N, or a scheduler's address such as tcp://HOST:8786"
        raise RmaplabError(f"--scheduler: {scheduler[:60]}: {rule}")
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with dask.config.set({"distributed.scheduler.allowed-failures": _DEATHS}):
        if local:
            workers = int(local[1] or len(os.sched_getaffinity(0)))
            with (
                LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    dashboard_address=None,
                    silence_logs=logging.CRITICAL,
                ) as cluster,
                Client(cluster) as client,
            ):
                yield DaskEngine(client)
            return
        try:
            client = Client(scheduler, timeout=_CONNECT)
        except (OSError, TimeoutError, ValueError) as error:
            raise NotAvailable(f"--scheduler: {scheduler}: nobody answers: {error}") from error
        with client:
            if not client.scheduler_info(n_workers=-1)["workers"]:
                raise NotAvailable(f"--scheduler: {scheduler}: has no workers")
            yield DaskEngine(client)


class DaskEngine:
    """An engine for `carry_out`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def results(self, campaign: Campaign[R], units: Iterable[int]) -> Iterator[tuple[int, R]]:
        """Each unit and its result, as they come. Raises CampaignError for a unit at which every worker dies."""
        waiting = iter(units)
        threads = sum(self._client.nthreads().values())
        first = list(itertools.islice(waiting, max(2, _IN_FLIGHT * threads)))
        flying = {self._submit(campaign, unit): unit for unit in first}
        try:
            done = as_completed(list(flying))
            for future in done:
                unit = flying.pop(future)
                yield unit, self._result(campaign, unit, future)
                for following in itertools.islice(waiting, 1):
                    started = self._submit(campaign, following)
                    flying[started] = following
                    done.add(started)
        finally:
            if flying:
                self._client.cancel(list(flying), force=True)

    def _submit(self, campaign: Campaign[R], unit: int) -> Future[Any]:
        return self._client.submit(_do, code(), campaign, unit, pure=False, retries=_RETRIES)

    @staticmethod
    def _result(campaign: Campaign[R], unit: int, future: Future[Any]) -> R:
        try:
            found = future.result()
        except KilledWorker as killed:
            raise CampaignError(f"{campaign.command}: unit {unit}: {_DEATHS + 1} workers died at it") from killed
        if isinstance(found, RmaplabError):
            raise found
        result: R = found
        return result


def _do(expected: str, campaign: Campaign[Any], unit: int) -> Any:
    """On a worker: the unit's result; or the error that trying again would only repeat."""
    if code() != expected:
        return CampaignError(f"a worker has rmaplab {code()}: must be {expected}, as here")
    try:
        return campaign.run(unit)
    except RmaplabError as error:
        return error
