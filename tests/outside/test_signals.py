"""Commands that are ended at random moments; `tests.outside.signals` does the same a hundred times."""

import pytest

from tests.outside.signals import COMMANDS, tried


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_whatever_the_signal_and_the_moment_results_are_whole_and_nothing_is_left(name):
    assert tried(name, 1 if name == "fixtures" else 3, seed=2) == 0
