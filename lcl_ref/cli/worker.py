"""``lcl worker``: this machine answers for runs of others."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence

import click

from lcl_ref.cli.console import say
from lcl_ref.cli.machines import require_dask
from lcl_ref.suite.machines.offers import offered


@click.command()
@click.argument("address")
@click.option("--name", help="What reports call it.  [default: host and process]")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Backends it asks at a time.")
@click.option("--only", multiple=True, metavar="FRAMEWORK", help="Offer these frameworks only; may be repeated.")
def worker(address: str, name: str | None, jobs: int, only: Sequence[str]) -> None:
    """Ask layers on this machine for the runs (`lcl run --dask ADDRESS`) of the Dask scheduler at ADDRESS.

    It offers the frameworks that import here, its Python, and GPU, METAL or TPU, and ends with the scheduler.
    """
    require_dask("lcl worker")
    from lcl_ref.suite.machines.serving import serve  # noqa: PLC0415 -- Dask, which nothing else needs

    offers = offered(only, lambda why: say(f"lcl: {why}", err=True))
    called = name or f"{platform.node() or 'machine'}-{os.getpid()}"
    serve(address, called, jobs, offers, lambda here: say(f"{called} at {here} offers {', '.join(offers)}"))
    say(f"{called}: the scheduler has ended")
