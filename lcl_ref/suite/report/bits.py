"""What `lcl reproducibility` measured, read from its file for the page of a report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lcl_ref.errors import LclError, Violation
from lcl_ref.outside import documents
from lcl_ref.outside.text import shown
from lcl_ref.suite import schema

SCHEMA = "lcl-reproducibility-1"


def read(path: Path) -> dict[str, Any]:
    """Return the document of a file.

    Raises
    ------
    LclError
        If it is not what `lcl reproducibility --json` writes.
    """
    expected = "a file that `lcl reproducibility --json` wrote"
    try:
        value = documents.read(path)
        schema.validate(value, SCHEMA, "reproducibility")
    except schema.Invalid as invalid:
        what = f"{path}: {invalid.place}" if invalid.place else str(path)
        raise LclError(Violation("reproducibility/invalid", what, invalid.got, invalid.expected)) from invalid
    except (OSError, ValueError) as error:
        raise LclError(Violation("reproducibility/unread", str(path), shown(error), expected)) from error
    found: dict[str, Any] = value
    return found
