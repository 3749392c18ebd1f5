"""Data files beside the tests that read them."""

import json
import tomllib
from pathlib import Path
from typing import Any


def table(test: str, name: str) -> dict[str, Any]:
    """Return what the TOML or JSON file of that name holds, in the folder of a test."""
    text = (Path(test).parent / name).read_text("utf-8")
    return json.loads(text) if name.endswith(".json") else tomllib.loads(text)
