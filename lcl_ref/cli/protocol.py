"""``lcl protocol-check``: whether a program keeps to lcl-exec/1."""

from __future__ import annotations

import shlex

import click
from rich.markup import escape

from lcl_ref.cli.console import console
from lcl_ref.cli.options import limit_options
from lcl_ref.suite.exec.adapter import Limits
from lcl_ref.suite.exec.protocol_check import Checker
from lcl_ref.suite.run.loading import EXEC, resolve


@click.command()
@click.argument("command")
@limit_options()
def protocol_check(command: str, timeout: float, start_timeout: float) -> int:
    """Check a program against the protocol alone; no number is judged.

    COMMAND is one word to the shell, as in: lcl protocol-check 'node port.js'; `exec:` may stand before it.

    Exit status: 0 every rule is kept, 1 one is not, 2 wrong input.
    """
    (ref,) = resolve([EXEC + command.removeprefix(EXEC)])
    out, broken = console(), 0
    for finding in Checker(shlex.split(ref.target), Limits(start_timeout, timeout)).findings():
        broken += not finding.kept
        mark = "[green]kept[/]  " if finding.kept else "[red]broken[/]"
        out.print(f"{mark} {finding.rule}: {escape(finding.seen)}", soft_wrap=True)
    return 1 if broken else 0
