"""The one console of the command line."""

from __future__ import annotations

from rich.console import Console

PIPE_WIDTH = 132


def console() -> Console:
    """Return a console for stdout; where that is no terminal, wide enough for the matrix."""
    probe = Console()
    return probe if probe.is_terminal else Console(width=PIPE_WIDTH)
