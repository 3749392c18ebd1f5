"""Which golden data this version of the package was released with: a name that stands in the code, not in the data."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import lcl_ref
from lcl_ref.suite.golden.store import Store

FILE = Path(__file__).with_name("release.json")
"""The digest; `tools.tables` writes it anew after `lcl fixtures write`."""


@cache
def digest() -> str:
    """Return the SHA-256 of the ``SHA256SUMS`` of the released set."""
    return str(json.loads(FILE.read_text("ascii"))["sha256"])


def text(sha256: str) -> str:
    """Return the content of the file for a digest."""
    return json.dumps({"sha256": sha256}, indent=1) + "\n"


def name(store: Store) -> str:
    """Return which set some golden data is, in words."""
    release = f"the set of lcl-ref {lcl_ref.__version__}"
    return release if store.digest == digest() else f"not {release}"


def warning(store: Store) -> str:
    """Return what to say of golden data that is not the released set; nothing of that which is."""
    if store.digest == digest():
        return ""
    return (
        f"golden data in {store.root} is {name(store)}: its digest is {store.digest[:16]}, that of the release "
        f"{digest()[:16]}; what is judged by it need not be right"
    )
