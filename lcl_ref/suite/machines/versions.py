"""What has to be the same on every machine of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import lcl_ref
from lcl_ref.errors import LclError, Violation
from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.golden.store import Store


def versions(root: Path | None = None) -> dict[str, str]:
    """Return what must be the same on every machine of a run."""
    data = Store(root or default_root()).digest[:16]
    return {"lcl-ref": lcl_ref.__version__, "golden data": data, "distributed": version("distributed")}


def check_versions(name: str, there: Mapping[str, str], here: Mapping[str, str]) -> None:
    """Refuse a machine where something differs.

    Raises
    ------
    LclError
        That names both versions.
    """
    wrong = [
        Violation("machines/version", f"machine {name}", f"{what} {there.get(what)}", f"{what} {one}, as at home")
        for what, one in here.items()
        if there.get(what) != one
    ]
    if wrong:
        raise LclError([replace(one, todo="install the same on both") for one in wrong])
