"""``lcl layouts``: the catalogue of weight layouts, and one of them with a worked example."""

from __future__ import annotations

import json

import click
from rich.markup import escape

from lcl_ref.cli.console import WIDE, Rows, console, say
from lcl_ref.cli.options import json_option
from lcl_ref.layouts import LAYOUTS, Layout
from lcl_ref.layouts import explain as explanation
from lcl_ref.layouts.example import LEGEND
from lcl_ref.layouts.summary import as_dict, short_bias, short_weight


@click.group(invoke_without_command=True)
@json_option()
@click.pass_context
def layouts(context: click.Context, as_json: bool) -> None:
    """List every weight layout that `convert` knows; `explain NAME` shows one with a worked example."""
    if context.invoked_subcommand is not None:
        return
    if as_json:
        say(json.dumps([as_dict(layout) for layout in LAYOUTS.values()], indent=1))
        return
    out = console()
    headings = ("layout", "ranks", "weight", "bias", "groups", "loses", "checked")[: None if out.width >= WIDE else 4]
    table = Rows(*headings)
    for layout in LAYOUTS.values():
        table.add_row(*map(escape, _cells(layout)[: len(headings)]))
    out.print(table)
    say(LEGEND)


def _cells(layout: Layout) -> list[str]:
    ranks = " ".join(map(str, layout.ranks))
    shared = "" if "position" in layout.bias else "bias per position"
    loses = {"taps": shared, "dense": "dead entries", "live": "dead taps"}[layout.form]
    groups = "any" if layout.groups else "one"
    return [layout.name, ranks, short_weight(layout), short_bias(layout), groups, loses, layout.checked]


@layouts.command()
@click.argument("name")
def explain(name: str) -> None:
    """Print layout NAME: whose it is, its axes, what it loses, and a worked example."""
    say(explanation(name), nl=False)
