"""What the command line says: on the one console, and in plain lines; text of others never steers a terminal."""

from __future__ import annotations

import io
from typing import Any

import click
import rich.console
from rich.markup import escape
from rich.status import Status
from rich.table import Table
from rich.text import Text

from lcl_ref.outside.text import lines

WIDE = 120
"""Columns of a terminal from which on tables have more of them."""

NATURAL = 1 << 16
"""A width at which no row of a table is folded."""


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

    def print(self, *objects: Any, **how: Any) -> None:
        """Print texts or a table; where no terminal is, without folding a line, for programs to read."""
        if not self.is_terminal and objects and isinstance(objects[0], Table):
            page = io.StringIO()
            rich.console.Console(file=page, width=NATURAL, no_color=True).print(*objects, **how)
            say("\n".join(line.rstrip() for line in lines(page.getvalue()).splitlines()), err=self.stderr)
        elif not self.is_terminal and all(isinstance(one, str | Text) for one in objects):
            super().print(*objects, **{"soft_wrap": True} | how)
        else:
            super().print(*objects, **how)


class Rows(Table):
    """A table without frames, a line per row: what does not fit is cut at the end of the last column."""

    def __init__(self, *headings: str, right: tuple[str, ...] = ()) -> None:
        super().__init__(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
        for heading in headings:
            last = heading == headings[-1]
            self.add_column(heading, justify="right" if heading in right else "left", no_wrap=not last)

    def add_row(self, *cells: Any, **how: Any) -> None:
        """Add a row of texts with markup."""
        last = Text.from_markup(lines(cells[-1]))
        last.no_wrap, last.overflow = True, "ellipsis"
        super().add_row(*cells[:-1], last, **how)


def console() -> Console:
    """Return a console for stdout."""
    return Console()


def errors() -> Console:
    """Return a console for stderr."""
    return Console(stderr=True)


def working(text: str) -> Status:
    """Return a status line on stderr for work that takes its time; nothing is seen of it in a pipe."""
    return errors().status(escape(text))


def say(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print lines as they are, but for control characters."""
    try:
        click.echo(lines(text), err=err, nl=nl)
    except BrokenPipeError:
        raise NobodyReadsError from None
