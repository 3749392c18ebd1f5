"""Reference for locally connected layers: what they compute, how weights are laid out, and whether a layer is right.

``import lcl_ref`` needs NumPy and nothing else. SPEC.md holds the numbered clauses that docstrings cite.
"""

import os
import sys
import types

if (
    sys.argv[:1] == ["-m"]
    and not sys.flags.safe_path
    and os.path.realpath(sys.path[0]) != os.path.realpath(f"{__path__[0]}/..")
):
    del sys.path[0]  # `python -m lcl_ref`: the current folder, whose files are no modules of ours

if sys.argv[:1] == ["-m"] or os.path.basename(sys.argv[0] if sys.argv else "") == "lcl":  # noqa: PTH119 -- cheaper

    def _interrupted(kind: type[BaseException], error: BaseException, trace: types.TracebackType | None) -> None:
        """Say in a line that the command was interrupted while it was still importing."""
        if issubclass(kind, KeyboardInterrupt):
            sys.stderr.write("lcl: interrupted\n")
        else:
            sys.__excepthook__(kind, error, trace)

    sys.excepthook = _interrupted

import importlib
import typing

from lcl_ref.api import forward, transpose, vjp
from lcl_ref.core.spec import Spec
from lcl_ref.errors import AdapterError, FileError, FixtureError, LayoutError, LclError, ShapeError, SpecError

if typing.TYPE_CHECKING:
    from lcl_ref import initialisers, layouts
    from lcl_ref.initialisers import init

__version__ = "0.1.0"

__all__ = [
    "AdapterError",
    "FileError",
    "FixtureError",
    "LayoutError",
    "LclError",
    "ShapeError",
    "Spec",
    "SpecError",
    "__version__",
    "forward",
    "init",
    "initialisers",
    "layouts",
    "transpose",
    "vjp",
]

_ON_USE = ("initialisers", "layouts")
"""Submodules imported when they are first used, so that ``import lcl_ref`` stays cheap."""


def __getattr__(name: str) -> typing.Any:
    if name in _ON_USE:
        return importlib.import_module(f"lcl_ref.{name}")
    if name == "init":
        return importlib.import_module("lcl_ref.initialisers").init
    raise AttributeError(f"module 'lcl_ref' has no attribute {name!r}", name=name, obj=sys.modules[__name__])


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
