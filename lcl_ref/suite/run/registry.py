"""Registered adapters as data: declarations readable without their frameworks, and tables made from them."""

from __future__ import annotations

import importlib.util
from typing import Any

from lcl_ref.suite.adapter import Declaration
from lcl_ref.suite.run.registered import registered
from lcl_ref.suite.run.worker import framework_version


def declarations() -> list[Declaration]:
    """Return the declaration of every registered adapter; imports their modules, not their frameworks."""
    return [one.declaration for one in registered().values()]


def readable_declarations() -> list[Declaration]:
    """Return the declarations that can be read without importing any framework."""
    return [one.declaration for one in registered().values() if one.readable]


def installed(declaration: Declaration) -> bool:
    """Return whether the modules an adapter needs can be found (whether they import is known when it runs)."""
    return all(importlib.util.find_spec(name.split(".")[0]) is not None for name in declaration.modules)


def as_dict(declaration: Declaration) -> dict[str, Any]:
    """Return a declaration as JSON-ready values, with the framework's version and whether it is installed."""
    can = declaration.capabilities
    return {
        "name": declaration.name,
        "framework": declaration.framework,
        "version": framework_version(declaration.framework),
        "installed": installed(declaration),
        "summary": declaration.summary,
        "layout": declaration.layout,
        "capabilities": {
            "ranks": list(can.ranks),
            "stride": can.stride,
            "dilation": can.dilation,
            "padding": can.padding if isinstance(can.padding, str) else list(can.padding),
            "groups": can.groups,
            "channel_table": can.channel_table,
            "sharing": list(can.sharing),
            "bias": list(can.bias),
            "dtypes": list(can.dtypes),
            "ops": list(can.ops),
            "empty_batch": can.empty_batch,
            "nonfinite": can.nonfinite,
            "flushes": list(can.flushes),
            "max_positions": can.max_positions,
            "max_matrix": can.max_matrix,
            "declines": dict(can.declines),
        },
        "why": dict(can.why),
    }
