"""What `lcl worker` starts: a worker of Dask that offers what this machine has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import dask
import distributed

from lcl_ref.suite.machines.answering import ENDED
from lcl_ref.suite.machines.scheduler import check_address, unreachable

AWAY_SECONDS = 60
"""A worker that finds no scheduler for so long ends."""


def serve(address: str, name: str, jobs: int, offers: Sequence[str], ready: Callable[[str], None]) -> None:
    """Answer what the scheduler at an address hands out, until it ends; `ready` is told when it has this machine.

    Raises
    ------
    LclError
        If there is no scheduler.
    """
    check_address(address)
    try:
        asyncio.run(_serve(address, name, jobs, offers, ready))
    except (OSError, ValueError, RuntimeError) as error:
        raise unreachable(address, error.__cause__ or error) from error


async def _serve(address: str, name: str, jobs: int, offers: Sequence[str], ready: Callable[[str], None]) -> None:
    dask.config.set({"distributed.worker.profile.enabled": False})  # a look at every thread in 10 ms
    resources = dict.fromkeys(offers, float(jobs))
    worker = distributed.Worker(
        address, nthreads=jobs, name=name, resources=resources, death_timeout=AWAY_SECONDS, memory_limit=0
    )
    async with worker:
        ready(worker.address)
        try:
            await worker.finished()
        finally:
            ENDED.set()  # before Dask waits for what is being asked
