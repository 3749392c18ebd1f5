"""Mistakes planted in a port, each with what a diagnosis has to say of it: `mistakes.toml`."""

import tomllib
import types
from pathlib import Path

import numpy as np

from lcl_ref.suite.cases.tiers import in_tier
from lcl_ref.suite.diagnosis.diagnose import diagnose
from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.run.user_layer import as_adapter
from lcl_ref.testing import judge

STORE = Store(default_root())
HERE = Path(__file__).parent
MISTAKES = tomllib.loads((HERE / "mistakes.toml").read_text("utf-8"))
PORT = (HERE / "port.py").read_text("utf-8")


def port_with(name):
    """Return the port with one mistake, as a module."""
    mistake = MISTAKES[name]
    if mistake["old"] not in PORT:
        raise ValueError(f"{name}: port.py has no {mistake['old']!r}")
    text = PORT.replace(mistake["old"], mistake["new"])
    module = types.ModuleType(name.replace("-", "_"))
    exec(compile(text + mistake.get("append", ""), name, "exec"), vars(module))  # noqa: S102 -- text of this repository
    return module


def diagnosed(name):
    """Return the diagnosis of the port with one mistake; of a check, where that is what has to fail."""
    mistake = MISTAKES[name]
    if "check" in mistake:
        return judge(port_with(name), cases=[mistake["check"]], seed=1).diagnosis
    with np.errstate(all="ignore"):
        return diagnose(as_adapter(name, port_with(name)), STORE, in_tier(mistake.get("tier", "core")))


def score(mistake, diagnosis):
    """Return ``named``, ``located``, ``missed``, or ``wrongly named``, for what a diagnosis says of a mistake."""
    if diagnosis is None:
        return "missed"
    said = " ".join([diagnosis.line, *(finding.text for finding in diagnosis.findings)])
    names = [
        name
        for finding in diagnosis.findings
        if finding.kind in ("deviation", "behaviour")
        for name in (" + ".join(finding.deviations), *finding.same)
    ]
    words = all(word in said for word in mistake.get("words", ()))
    if "check" in mistake:
        return "named" if any(mistake["check"] in finding.deviations for finding in diagnosis.findings) else "missed"
    if names and not set(names) & set(mistake.get("name", ())):
        return "wrongly named"
    if names:
        return "named" if words else "missed"
    return "located" if words and "words" in mistake else "missed"
