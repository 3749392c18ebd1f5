"""What the command line says: on the one console, and in plain lines; text of others never steers a terminal."""

from __future__ import annotations

from typing import Any

import click
import rich.console
from rich.text import Text

from lcl_ref.outside.text import lines

PIPE_WIDTH = 132


class NobodyReadsError(Exception):
    """The reader of a pipe is gone; click would take a `BrokenPipeError` for a failure of the command."""


class Console(rich.console.Console):
    """A console on which control characters, wherever they come from, stand as their escapes."""

    def render_str(self, text: str, **how: Any) -> Text:
        """Return what is printed for a text with markup."""
        return super().render_str(lines(text), **how)

    def on_broken_pipe(self) -> None:
        """Leave it to the command line what that means."""
        raise NobodyReadsError


def console() -> Console:
    """Return a console for stdout; where that is no terminal, wide enough for the matrix."""
    probe = Console()
    return probe if probe.is_terminal else Console(width=PIPE_WIDTH)


def errors() -> Console:
    """Return a console for stderr."""
    return Console(stderr=True)


def say(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print lines as they are, but for control characters."""
    try:
        click.echo(lines(text), err=err, nl=nl)
    except BrokenPipeError:
        raise NobodyReadsError from None
