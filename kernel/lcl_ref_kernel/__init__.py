"""The compiled kernel of lcl-ref: where the library lies, which `lcl_ref.layers.engines.kernel` loads."""

from pathlib import Path

__version__ = "0.1.0"

LIBRARY = Path(__file__).with_name("liblclkernel.so")
"""The shared library; `src/layer.h` declares its functions."""

INTERFACE = 5
"""Of the functions that `src/layer.h` declares; another number is another way to call them."""
