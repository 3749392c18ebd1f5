"""The file that somebody meant who named one that is not there."""

from __future__ import annotations

import difflib
from pathlib import Path

from lcl_ref.outside.text import shown


def nearest_file(path: Path) -> str:
    """Return what to do about a file that is not there: the name of one like it, or where it was looked for."""
    folder = path.parent
    if not folder.is_dir():
        return f"there is no folder {shown(folder)}"
    names = [one.name for one in folder.iterdir() if one.is_file()]
    near = difflib.get_close_matches(path.name, names, 1)
    return f"did you mean {shown(near[0])}?" if near else f"{shown(folder.resolve())} holds none of a name like it"
