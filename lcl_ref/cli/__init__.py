"""The command line ``lcl``; each command lives in a module of its own and is imported when it is used."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import io
import os
import sys
import traceback
from typing import TextIO

import click

from lcl_ref import __version__
from lcl_ref.cli.console import NobodyReadsError, say
from lcl_ref.errors import LclError
from lcl_ref.outside.interrupts import raise_when_ended
from lcl_ref.outside.text import shown
from lcl_ref.outside.writing import FULL

COMMANDS = {
    "run": "lcl_ref.cli.run",
    "worker": "lcl_ref.cli.worker",
    "new": "lcl_ref.cli.new",
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
    "reproducibility": "lcl_ref.cli.reproducibility",
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
NOBODY_READS = 141
"""As the shell says of a program that SIGPIPE ended."""


class LazyGroup(click.Group):
    """A group whose commands are imported on use, so that ``lcl --help`` and each command start fast."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command; of a word that is none, say which one is near."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else "`lcl --help` lists them."
            raise click.UsageError(f"No such command {args[0]!r}. {hint}", ctx) from error

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
    """Check locally connected layers against a reference and frozen golden data.

    To begin: `lcl new layer my_layer.py` writes a layer to start from, `lcl run -b my_layer.py` judges it.
    """


def main() -> None:
    """Run the command line; whatever goes wrong is one clear message and an exit status."""
    raise_when_ended()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what an encoding has no letter for
    status = _status()
    for stream in (sys.stdout, sys.stderr):
        _let_go(stream)
    sys.exit(status)


def _status() -> int:
    """Run a command and return its exit status."""
    try:
        status = cli.main(standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except (NobodyReadsError, BrokenPipeError):
        return NOBODY_READS
    except click.ClickException as error:
        return _failed(f"Error: {' '.join(error.format_message().split())}{_where_to_read(error)}")
    except LclError as error:
        return _failed(f"lcl: {error}")
    except (click.Abort, KeyboardInterrupt):
        return _failed("lcl: interrupted", INTERRUPTED)
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        return _failed(f"lcl: {in_words(error)}")
    return status if isinstance(status, int) else 0


def _where_to_read(error: click.ClickException) -> str:
    """Return where the words of a command are listed, unless the error says what to do."""
    told = any(word in error.format_message() for word in ("Did you mean", "lcl ", "not one of"))
    context = getattr(error, "ctx", None)
    return "" if told or context is None else f" (see: {context.command_path} --help)"


def _failed(text: str, status: int = BROKEN_INPUT) -> int:
    with contextlib.suppress(OSError, NobodyReadsError):
        say(text, err=True)
    return status


def in_words(error: BaseException) -> str:
    """Return an error that has no words of ours: what the system says of which file, or what was raised where."""
    if isinstance(error, OSError) and error.errno:
        what = FULL.get(error.errno) or error.strerror or os.strerror(error.errno)
        return f"{shown(error.filename)}: {what}" if error.filename else f"cannot read or write: {what}"
    frames = traceback.extract_tb(error.__traceback__)
    place = f" (at {frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {shown(error)}{place}"


def _let_go(stream: TextIO | None) -> None:
    """Leave nothing in a stream that nobody reads, or that is full, for the interpreter to fail on at its end."""
    if stream is None:
        return
    try:
        stream.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError), open(os.devnull, "w") as nowhere:  # noqa: PTH123
            os.dup2(nowhere.fileno(), stream.fileno())
