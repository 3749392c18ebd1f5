"""The suite for other people's programs: tests in three lines, and one call from a layer to its verdict."""

from typing import TYPE_CHECKING, Any

from lcl_ref.suite.adapter import Capabilities
from lcl_ref.suite.judgement import Judgement, judge

if TYPE_CHECKING:
    from lcl_ref.suite.testing import conformance_tests

__all__ = ["Capabilities", "Judgement", "conformance_tests", "judge"]


def __getattr__(name: str) -> Any:
    """Import what needs pytest when it is asked for: judging needs none."""
    if name != "conformance_tests":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from lcl_ref.suite.testing import conformance_tests  # noqa: PLC0415

    return conformance_tests
