"""Which of many parameters `make test` runs; the others are slow tests."""

import pytest


def quick(values, *kept, every=0):
    """Return `values` as parameters, slow ones but for those that are `kept`, or for one of `every` so many.

    Each is the value of one argument, or a tuple of the values of several.
    """
    values = list(values)
    chosen = values[::every] if every else kept
    return [value if value in chosen else _slow(value) for value in values]


def _slow(value):
    several = value if type(value) is tuple else (value,)
    return pytest.param(*several, marks=pytest.mark.slow)
