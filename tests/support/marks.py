"""Which of many parameters `make test` runs; the others are slow tests."""

import pytest


def quick(values, *kept, every=0):
    """Return `values` as parameters, slow ones but for those that are `kept`, or for one of `every` so many."""
    chosen = list(values)[::every] if every else kept
    return [value if value in chosen else pytest.param(value, marks=pytest.mark.slow) for value in values]
