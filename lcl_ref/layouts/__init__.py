"""Weight layouts: how published layers store weight and bias, as data, and exact conversion between any two of them.

A layout is always named by the user and never guessed: arrays of equal shape in different layouts hold different
numbers (SPEC 3).
"""

from lcl_ref.layouts.biases import bias_shape
from lcl_ref.layouts.checks import fitting, weight_shape
from lcl_ref.layouts.conversion import convert
from lcl_ref.layouts.example import explain
from lcl_ref.layouts.layout import Layout
from lcl_ref.layouts.registry import LAYOUTS, get

__all__ = ["LAYOUTS", "Layout", "bias_shape", "convert", "explain", "fitting", "get", "weight_shape"]
