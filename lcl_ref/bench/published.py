"""Layers that people install, as backends: adapters of ``benchmarks/published``, and those that declare it.

``layers.json`` in that folder lists the former. They come with a checkout only, as do the packages that
``make published`` puts beside the environment.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from lcl_ref.suite.run.loading import BackendRef, resolve
from lcl_ref.suite.run.registry import readable_declarations

CHECKOUT = Path(__file__).resolve().parents[2]
FOLDER = CHECKOUT / "benchmarks" / "published"
PACKAGES = CHECKOUT / "build" / "published"


def refs(folder: Path = FOLDER) -> list[BackendRef]:
    """Return the published layers under their own names; without a checkout, none."""
    file = folder / "layers.json"
    if not file.is_file():
        return []
    names = [declaration.name for declaration in readable_declarations() if declaration.published]
    found = []
    for name, word in json.loads(file.read_text("utf-8")).items():
        path, _, attribute = word.partition(":")
        found.append(BackendRef(name, "file", str(folder / path), attribute))
    return found + [ref for ref in resolve(names) if ref.name in names]


def environment() -> dict[str, str]:
    """Return what a process needs to find the packages that ``make published`` installs."""
    paths = [os.environ.get("PYTHONPATH", ""), str(PACKAGES)]
    return {"PYTHONPATH": os.pathsep.join(filter(None, paths))} if PACKAGES.is_dir() else {}
