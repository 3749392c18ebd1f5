"""The suite inside somebody else's test file: ``from lcl_ref.testing import conformance_tests``."""

from lcl_ref.suite.adapter import Capabilities
from lcl_ref.suite.testing import conformance_tests

__all__ = ["Capabilities", "conformance_tests"]
