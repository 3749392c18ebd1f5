"""``lcl fuzz``: random specifications, shrunk to a minimal failing one."""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Sequence
from typing import Any

import click

from lcl_ref.cli.options import backend_option
from lcl_ref.errors import AdapterError, Violation
from lcl_ref.suite.formats import DTYPES
from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.run.loading import BackendRef, resolve
from lcl_ref.suite.run.matrix import Settings, require_present, wait_until_loaded
from lcl_ref.suite.run.process import Job, TimedOut, Worker, WorkerExited
from lcl_ref.suite.run.user_layer import DEFAULT_DTYPES


@click.command()
@backend_option(required=True)
@click.option("--examples", type=click.IntRange(1), default=300, show_default=True, help="Layers to draw.")
@click.option("--seconds", type=click.FloatRange(0), default=60.0, show_default=True, help="Stop drawing after this.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed draws the same layers.")
@click.option("--dtype", "dtypes", multiple=True, type=click.Choice(DTYPES), help="Dtypes to draw from.")
@click.option(
    "--timeout", type=click.FloatRange(0.1), default=60.0, show_default=True, help="Seconds a layer may take."
)
def fuzz(
    backends: Sequence[str], examples: int, seconds: float, seed: int, dtypes: Sequence[str], timeout: float
) -> int:
    """Search random layers for one that a backend gets wrong, and shrink it.

    Exit status: 0 nothing found, 1 a failing layer, 2 wrong input, 3 nothing was answered.
    """
    if importlib.util.find_spec("hypothesis") is None:
        todo = "pip install 'lcl-ref[fuzz]'"
        raise AdapterError(
            Violation("fuzz/hypothesis", "lcl fuzz", "no hypothesis", "the package hypothesis", todo=todo)
        )
    asked = {"dtypes": list(dtypes or DEFAULT_DTYPES), "examples": examples, "seconds": seconds, "seed": seed}
    statuses = [_search(ref, asked, timeout) for ref in resolve(list(backends))]
    return max(statuses, key=(0, 3, 1).index)


def _search(ref: BackendRef, asked: dict[str, Any], timeout: float) -> int:
    settings = Settings(default_root(), jobs=1, timeout=timeout)
    worker = Worker(ref, Job("lcl_ref.suite.run.fuzz", asked), threads=1, limits=settings.limits)
    latest: dict[str, Any] = {}
    began = time.monotonic()
    try:
        require_present(wait_until_loaded(worker, settings))
        while (message := worker.next_message(timeout))["event"] != "searched":
            latest = message if message["event"] == "trying" else latest
    except (WorkerExited, TimedOut) as loss:
        how = f"the process was {loss}" if isinstance(loss, WorkerExited) else f"no answer within {timeout:g} s"
        message = {"tried": 0, "answered": 0, "failure": latest | {"op": "", "state": "error", "message": how}}
    finally:
        worker.close()
    return _report(ref.name, message, time.monotonic() - began)


def _report(name: str, message: dict[str, Any], seconds: float) -> int:
    failure = message["failure"]
    if failure is None:
        answered = message["answered"]
        click.echo(f"{name}: {message['tried']} layers drawn, {answered} answers, none wrong, in {seconds:.1f} s")
        return 0 if answered else 3
    if failure["op"]:
        click.echo(f"{name}: {failure['op']} is wrong for this layer, the smallest found:")
    else:
        click.echo(f"{name}: lost while it was asked this layer:")
    click.echo(f"  spec    {json.dumps(failure.get('spec'))}")
    click.echo(f"  batch   {failure.get('batch')}, dtype {failure.get('dtype')}")
    click.echo(f"  {failure['state']:<7} {failure['message']}")
    return 1
