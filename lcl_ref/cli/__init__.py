"""The command line ``lcl``; each command lives in a module of its own and is imported when it is used."""

from __future__ import annotations

import importlib
import sys

import click

from lcl_ref import __version__
from lcl_ref.errors import LclError

COMMANDS = {
    "run": "lcl_ref.cli.run",
    "backends": "lcl_ref.cli.listing",
    "cases": "lcl_ref.cli.listing",
    "explain": "lcl_ref.cli.listing",
    "fixtures": "lcl_ref.cli.fixtures",
    "fuzz": "lcl_ref.cli.fuzz",
    "layouts": "lcl_ref.cli.layouts",
    "convert": "lcl_ref.cli.convert",
    "inspect": "lcl_ref.cli.convert",
    "verify-port": "lcl_ref.cli.convert",
    "laws": "lcl_ref.cli.laws",
    "bench": "lcl_ref.cli.bench",
    "report": "lcl_ref.cli.report",
    "export": "lcl_ref.cli.export",
    "smoke": "lcl_ref.cli.smoke",
    "diagnose": "lcl_ref.cli.diagnose",
    "mutants": "lcl_ref.cli.mutants",
    "protocol-check": "lcl_ref.cli.protocol",
}
"""Command -> module that defines it under its own name (``-`` written ``_``)."""

BROKEN_INPUT = 2
INTERRUPTED = 130


class LazyGroup(click.Group):
    """A group whose commands are imported on use, so that ``lcl --help`` and each command start fast."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Return the command names in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(COMMANDS[cmd_name]), cmd_name.replace("-", "_"))
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="lcl")
def cli() -> None:
    """Check locally connected layers against a reference and frozen golden data."""


def main() -> None:
    """Run the command line; broken input is one clear message and exit status 2."""
    try:
        status = cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(BROKEN_INPUT)
    except LclError as error:
        click.echo(f"lcl: {error}", err=True)
        sys.exit(BROKEN_INPUT)
    except (click.Abort, KeyboardInterrupt):
        click.echo("lcl: interrupted; nothing was written", err=True)
        sys.exit(INTERRUPTED)
    sys.exit(status if isinstance(status, int) else 0)
