"""The forms in which reports are printed, an option of the commands that print them."""

from __future__ import annotations

from typing import Any

import click

from lcl_ref.cli.options import Decorator
from lcl_ref.suite.report.renderings import FORMS


def form_option(default: str | None) -> Decorator:
    """Return ``--format FORM``: what is printed on stdout."""
    words = [*FORMS] if default is None else [default, *FORMS]
    text = (
        "The form of what is printed; beside another than the table, all else goes to stderr."
        if default
        else "The form."
    )
    given: dict[str, Any] = {"required": True} if default is None else {"default": default}
    return click.option("--format", "form", type=click.Choice(words), help=text, **given)
