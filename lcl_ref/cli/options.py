"""Options that several commands share."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from lcl_ref.errors import LclError, Violation
from lcl_ref.outside.nearest import nearest_file
from lcl_ref.outside.writing import check_target
from lcl_ref.suite.cases.tiers import TIERS
from lcl_ref.suite.golden.fixtures import default_root

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class TargetFile(click.Path):
    """A file to write: that it can be written is seen before any work is done."""

    def __init__(self) -> None:
        super().__init__(path_type=Path, dir_okay=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        path = Path(super().convert(value, param, ctx))  # type: ignore[arg-type]  # of text it makes text
        check_target(path)
        return path


class SourceFile(click.Path):
    """A file to read: of one that is not there, it says which is like it."""

    def __init__(self) -> None:
        super().__init__(path_type=Path, dir_okay=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        path = Path(super().convert(value, param, ctx))  # type: ignore[arg-type]  # of text it makes text
        if not path.exists():
            raise LclError(Violation("file/missing", str(path), "no such file", "a file", todo=nearest_file(path)))
        return path


class OfLayers(click.Command):
    """A command about layers: of a word that stands alone, it says how a layer is named."""

    allow_extra_args = True

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the words; refuse those that are left."""
        words = list(args)
        try:
            left = super().parse_args(ctx, args)
        except click.MissingParameter as error:
            named = next((word for word in words if not word.startswith("-")), "my_layer.py")
            hint = f"Name a layer: {ctx.command_path} -b {shlex.quote(named)}"
            raise click.UsageError(f"{error.format_message()} {hint}", ctx) from error
        if left and not ctx.resilient_parsing:
            hint = f"name a layer with -b: {ctx.command_path} -b {shlex.quote(left[0])}"
            raise click.UsageError(f"Got unexpected word {left[0]!r}; {hint}", ctx)
        return left


def data_option() -> Decorator:
    """Return ``--data DIR``: where the golden data is."""
    return click.option(
        "--data",
        type=click.Path(path_type=Path),
        default=default_root,
        help="Folder of the golden data.  [default: the checkout's conformance_data/, else the installed copy]",
    )


def json_option() -> Decorator:
    """Return ``--json``: print JSON instead of a table."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


def backend_option(required: bool = False) -> Decorator:
    """Return ``-b BACKEND``, several times."""
    return click.option(
        "-b",
        "--backend",
        "backends",
        multiple=True,
        required=required,
        metavar="BACKEND",
        help="Registered name or glob (torch.*), FILE.py[:NAME], MODULE:NAME or exec:COMMAND; may be repeated.",
    )


def limit_options() -> Decorator:
    """Return ``--timeout S`` and ``--start-timeout S``."""
    seconds = click.FloatRange(0.1)
    case = click.option("--timeout", type=seconds, default=60.0, show_default=True, help="Seconds a cell may take.")
    start = click.option(
        "--start-timeout", type=seconds, default=180.0, show_default=True, help="Seconds a backend may take to load."
    )
    return lambda command: case(start(command))


def tier_option(default: str | None = "full", unset: str = "full") -> Decorator:
    """Return ``--tier TIER``: a size of a run; `unset` says what is done without it."""
    promise = "smoke sees every known mistake in every operation, core sees each twice and asks for all pairs"
    help_text = f"Size of a run: {promise}.  [default: {unset}]"
    return click.option("--tier", type=click.Choice(list(TIERS)), default=default, help=help_text)


def case_option() -> Decorator:
    """Return ``-c CASE_GLOB``, several times."""
    return click.option(
        "-c", "--case", "cases", multiple=True, metavar="GLOB", help="Only cases whose id matches; may be repeated."
    )
