"""Every registered adapter against the golden data: the matrix of `lcl run`, one test per cell."""

from lcl_ref.suite.test_conformance import test_conforms

__all__ = ["test_conforms"]
