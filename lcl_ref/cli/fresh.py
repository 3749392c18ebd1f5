"""Fresh cases on the command line: how many, and from which seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from lcl_ref.suite.run.planning import LAYERS, LAYERS_OF_NARROW


def fresh_options() -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return ``--seed S`` and ``--fresh N``."""
    unset = f"{LAYERS}, and {LAYERS_OF_NARROW} for a narrow layer; none in the smoke tier or with -c"
    drawn = "Where fresh cases and orders of calls are drawn from.  [default: another every time]"
    seed = click.option("--seed", type=click.IntRange(0), help=drawn)
    count = click.option("--fresh", type=click.IntRange(0), help=f"Fresh layers per backend.  [default: {unset}]")
    return lambda command: seed(count(command))
