"""``lcl reproducibility``: which backends give the same bits under other circumstances, and as which others."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from lcl_ref.cli.console import Rows, console, working
from lcl_ref.cli.options import OfLayers, TargetFile, backend_option, limit_options
from lcl_ref.outside.writing import check_target
from lcl_ref.suite.formats import DTYPES
from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.report.document import machine, write_json
from lcl_ref.suite.reproducibility.classes import CLASSES, Measured
from lcl_ref.suite.reproducibility.measuring import measure
from lcl_ref.suite.run.loading import resolve
from lcl_ref.suite.run.settings import Settings

FORMAT = "lcl-reproducibility/1"


@click.command(cls=OfLayers)
@backend_option()
@click.option("--dtype", default="float32", show_default=True, type=click.Choice(DTYPES), help="In which format.")
@limit_options()
@click.option("--json", "json_file", type=TargetFile(), help="Write all of it here.")
def reproducibility(
    backends: Sequence[str], dtype: str, timeout: float, start_timeout: float, json_file: Path | None
) -> int:
    """Measure whether layers give the same bits again, and under other circumstances. Nothing of it is judged.

    Exit status: 0, or 3 where nothing was measured.
    """
    check_target(*filter(None, (json_file,)))
    settings = Settings(default_root(), 1, timeout, start_timeout)
    refs = resolve(list(backends))
    with working(f"asking {len(refs)} backends the same again and again"):
        found = measure(refs, settings, dtype)
    if json_file:
        write_json(json_file, document(found, dtype))
    out = console()
    out.print(_table(found))
    for one in found:
        if one.message:
            out.print(f"{escape(one.backend)}: {escape(one.message)}", soft_wrap=True, highlight=False)
        for name, witness in one.classes.items():
            if witness is not None:
                out.print(f"{escape(one.backend)}, {name}: {escape(str(witness))}", soft_wrap=True, highlight=False)
    return 0 if any(one.answered for one in found) else 3


def document(found: Sequence[Measured], dtype: str) -> dict[str, Any]:
    """Return what was measured as JSON-ready values."""
    classes = {name: what for name, (what, _) in CLASSES.items()}
    facts = {"format": FORMAT, "machine": machine(), "dtype": dtype, "cores": os.cpu_count(), "classes": classes}
    return facts | {"backends": [one.to_dict() for one in found]}


def _table(found: Sequence[Measured]) -> Table:
    table = Rows("backend", "results", *CLASSES, "same bits as")
    for one in found:
        words = [_word(one, name) for name in CLASSES]
        table.add_row(one.backend, str(one.answered), *words, " ".join(one.same_as))
    return table


def _word(one: Measured, name: str) -> str:
    if name not in one.classes:
        return "-"
    return "same" if one.classes[name] is None else "differs"
