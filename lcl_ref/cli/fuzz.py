"""``lcl fuzz``: random specifications, shrunk to a minimal failing one."""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Sequence
from typing import Any

import click
from rich.markup import escape

from lcl_ref.cli.console import say, working
from lcl_ref.cli.options import OfLayers, backend_option
from lcl_ref.core.spec import Spec
from lcl_ref.errors import AdapterError, Violation
from lcl_ref.suite.checks.orders import WORDS
from lcl_ref.suite.formats import DTYPES
from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.judge.outcome import Cell
from lcl_ref.suite.run.cells import asked_dtypes
from lcl_ref.suite.run.drawn_cases import fuzz_case
from lcl_ref.suite.run.judging import outcome_of
from lcl_ref.suite.run.loading import BackendRef, resolve
from lcl_ref.suite.run.process import Job, TimedOut, Worker, WorkerExited
from lcl_ref.suite.run.settings import Settings, require_present, wait_until_loaded


@click.command(cls=OfLayers)
@backend_option(required=True)
@click.option("--examples", type=click.IntRange(1), default=300, show_default=True, help="Layers to draw.")
@click.option("--seconds", type=click.FloatRange(0), default=60.0, show_default=True, help="Stop drawing after this.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed draws the same layers.")
@click.option("--dtype", "dtypes", multiple=True, type=click.Choice(DTYPES), help="Dtypes to draw from.")
@click.option(
    "--min-answers", type=click.IntRange(0), default=50, show_default=True, help="Fewer answers are no result."
)
@click.option(
    "--timeout", type=click.FloatRange(0.1), default=60.0, show_default=True, help="Seconds a layer may take."
)
def fuzz(
    backends: Sequence[str],
    examples: int,
    seconds: float,
    seed: int,
    dtypes: Sequence[str],
    min_answers: int,
    timeout: float,
) -> int:
    """Search random layers, within what a backend supports, for one that it gets wrong, and shrink it.

    Exit status: 0 nothing found, 1 a failing layer, 2 wrong input, 3 too few answers to say anything.
    """
    if importlib.util.find_spec("hypothesis") is None:
        todo = "pip install 'lcl-ref[fuzz]'"
        raise AdapterError(
            Violation("fuzz/hypothesis", "lcl fuzz", "no hypothesis", "the package hypothesis", todo=todo)
        )
    asked = {"examples": examples, "seconds": seconds, "seed": seed}
    statuses = [
        _search(ref, asked | {"dtypes": _real(asked_dtypes(ref, dtypes))}, timeout, min_answers)
        for ref in resolve(list(backends))
    ]
    return max(statuses, key=(0, 3, 1).index)


def _real(dtypes: Sequence[str]) -> list[str]:
    return [dtype for dtype in dtypes if dtype in DTYPES]


def _search(ref: BackendRef, asked: dict[str, Any], timeout: float, min_answers: int) -> int:
    settings = Settings(default_root(), jobs=1, timeout=timeout)
    worker = Worker(ref, Job("lcl_ref.suite.run.fuzz", asked), threads=1, limits=settings.limits)
    latest: dict[str, Any] = {}
    began, tried = time.monotonic(), 0
    try:
        with working(f"drawing layers for {ref.name}") as status:
            require_present(wait_until_loaded(worker, settings))
            while (message := worker.next_message(timeout))["event"] != "searched":
                if message["event"] == "trying":
                    latest, tried = message, tried + 1
                    status.update(f"layer {tried} for {escape(ref.name)}")
                elif message["event"] == "answer" and (failure := _judged_again(message)) is not None:
                    message = {"tried": 0, "answered": 0, "failure": failure}
                    break
    except (WorkerExited, TimedOut) as loss:
        how = f"the process was {loss}" if isinstance(loss, WorkerExited) else f"no answer within {timeout:g} s"
        message = {"tried": 0, "answered": 0, "failure": latest | {"op": "", "state": "error", "message": how}}
    finally:
        worker.close()
    return _report(ref.name, message, time.monotonic() - began, min_answers)


def _judged_again(message: dict[str, Any]) -> dict[str, Any] | None:
    """Return what is wrong with an answer that the process of the layer finds right, or None."""
    asked = message["asked"]
    spec = Spec.from_dict(asked["spec"])
    case = fuzz_case(spec, asked["batch"], nonfinite=asked["nonfinite"], order=asked["order"])
    cell = Cell("", case.name, asked["op"], asked["dtype"])
    found = outcome_of(cell, case.task(cell.dtype), message, {})
    return None if found.state == "pass" else asked | {"state": found.state, "message": found.message}


def _report(name: str, message: dict[str, Any], seconds: float, min_answers: int) -> int:
    failure = message["failure"]
    if failure is None:
        answered = message["answered"]
        say(f"{name}: {message['tried']} layers drawn, {answered} answers, none wrong, in {seconds:.1f} s")
        if answered >= min_answers:
            return 0
        say(
            f"{name}: {answered} answers are too few to say anything: draw more (--examples, --seconds), "
            f"let `supports` accept more, or be content with fewer (--min-answers {answered})"
        )
        return 3
    if failure["op"]:
        say(f"{name}: {failure['op']} is wrong for this layer, the smallest found:")
    else:
        say(f"{name}: lost while it was asked this layer:")
    say(f"  spec    {json.dumps(failure.get('spec'))}")
    planted = ", with inf and NaN in x" if failure.get("nonfinite") else ""
    laid = f", operands {WORDS[failure['order']]}" if failure.get("order") else ""
    say(f"  batch   {failure.get('batch')}, dtype {failure.get('dtype')}{planted}{laid}")
    say(f"  {failure['state']:<7} {failure['message']}")
    return 1
