"""Reference for locally connected layers: what they compute, how weights are laid out, and whether a layer is right.

``import lcl_ref`` needs NumPy and nothing else. SPEC.md holds the numbered clauses that docstrings cite.
"""

from lcl_ref import layouts
from lcl_ref.api import forward, transpose, vjp
from lcl_ref.errors import AdapterError, FixtureError, LayoutError, LclError, ShapeError, SpecError
from lcl_ref.spec import Spec

__version__ = "0.1.0"

__all__ = [
    "AdapterError",
    "FixtureError",
    "LayoutError",
    "LclError",
    "ShapeError",
    "Spec",
    "SpecError",
    "__version__",
    "forward",
    "layouts",
    "transpose",
    "vjp",
]
