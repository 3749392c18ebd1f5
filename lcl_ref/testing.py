"""The suite for other people's programs: tests in three lines, and one call from a layer to its verdict."""

from lcl_ref.suite.adapter import Capabilities
from lcl_ref.suite.judgement import Judgement, judge
from lcl_ref.suite.testing import conformance_tests

__all__ = ["Capabilities", "Judgement", "conformance_tests", "judge"]
