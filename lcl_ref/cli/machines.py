"""``lcl run --dask``: the matrix on other machines."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import click

from lcl_ref.cli.console import say
from lcl_ref.cli.following import follow
from lcl_ref.cli.options import Decorator
from lcl_ref.errors import AdapterError, Violation
from lcl_ref.suite.diagnosis.diagnose import Diagnosis
from lcl_ref.suite.judge.outcome import Outcome
from lcl_ref.suite.machines.messages import answering, collected
from lcl_ref.suite.run.cells import RunPlan
from lcl_ref.suite.run.settings import BackendReport, Settings


@dataclass(frozen=True)
class Asked:
    """What was answered, what it means, and by which machines where these are others."""

    reports: Sequence[BackendReport]
    outcomes: Sequence[Outcome]
    diagnoses: Mapping[str, Diagnosis]
    machines: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Where:
    """A Dask scheduler, empty for this machine, and what each machine of it must offer that answers."""

    address: str = ""
    demanded: Sequence[str] = ()


def where_options() -> Decorator:
    """Return ``--dask ADDRESS`` and ``--on RESOURCE``, as one argument `where`."""
    dask = click.option(
        "--dask", "address", default="", metavar="ADDRESS", help="Ask the machines (`lcl worker`) of a Dask scheduler."
    )
    demanded = click.option(
        "--on", "demanded", multiple=True, metavar="RESOURCE", help="Only machines that offer it: GPU, METAL, torch ..."
    )

    def with_where(command: Callable[..., Any]) -> Callable[..., Any]:
        @dask
        @demanded
        @functools.wraps(command)
        def where_command(*, address: str, demanded: Sequence[str], **words: Any) -> Any:
            if demanded and not address:
                raise click.UsageError("--on chooses among the machines of --dask ADDRESS")
            return command(where=Where(address, demanded), **words)

        return where_command

    return with_where


def run_on_machines(plan: RunPlan, settings: Settings, where: Where, verbose: bool) -> Asked:
    """Run a plan on the machines of a scheduler; mistakes are named there, where the answers are."""
    require_dask("lcl run --dask")
    from lcl_ref.suite.machines.asking import MachinesRun  # noqa: PLC0415 -- Dask, which nothing else needs

    run = MachinesRun(where.address, plan, settings, where.demanded)
    follow(run, plan, verbose)
    reports, outcomes, diagnoses = collected(plan, run.answers)
    for reason in dict.fromkeys(one.message for one in reports if not one.machine):
        say(f"lcl: not run: {reason}", err=True)
    return Asked(reports, outcomes, diagnoses, answering(run.answers))


def require_dask(who: str) -> None:
    """Refuse to go on without Dask.

    Raises
    ------
    AdapterError
        If it is not installed.
    """
    if importlib.util.find_spec("distributed") is None:
        todo = "pip install 'lcl-ref[dask]'"
        raise AdapterError(Violation("machines/dask", who, "no distributed", "the package distributed", todo=todo))
