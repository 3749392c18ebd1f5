"""Data files beside the tests that read them."""

import tomllib
from pathlib import Path
from typing import Any


def table(test: str, name: str) -> dict[str, Any]:
    """Return what the TOML file of that name holds, in the folder of a test."""
    return tomllib.loads((Path(test).parent / name).read_text("utf-8"))
