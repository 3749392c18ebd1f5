"""Tests of errata are about the errata: with the repaired form in the place of the printed one, each of them fails."""

import itertools
import traceback
from pathlib import Path

import numpy as np
import pytest

from tests.errata import test_frameworks, test_s0_mlx, test_s1_pytorch_thread, test_s2_channel_local, test_s3_twodfc
from tests.support.marks import quick
from tools import seeds, seeds_page

MODULES = (test_s0_mlx, test_s1_pytorch_thread, test_s2_channel_local, test_s3_twodfc, test_frameworks)
TESTS = {name: (module, test) for module in MODULES for name, test in vars(module).items() if name.startswith("test_")}
REPAIRS = [(name, repairs) for name, (_, test) in TESTS.items() for repairs in getattr(test, "repairs", ())]


def arguments(test):
    """Yield the keywords of every set of parameters a test is run with."""
    choices = []
    for mark in reversed(getattr(test, "pytestmark", [])):
        names, values = mark.args
        names = (names,) if isinstance(names, str) else names
        choices.append([dict(zip(names, one if len(names) > 1 else (one,), strict=True)) for one in values])
    for chosen in itertools.product(*choices):
        yield {name: value for part in chosen for name, value in part.items()}


def complaint(test, given):
    """Return the assertion of the test itself that fails, or None; any other error escapes, those of frameworks too."""
    try:
        test(**given)
    except AssertionError as error:
        where = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
        ours, comparisons = Path(__file__).parent, Path(np.testing.__file__).parent
        if ours not in where.parents and comparisons not in where.parents:
            raise
        return error
    return None


def test_every_test_of_an_erratum_has_a_repair():
    named = {test for tests in seeds_page.tests_of_errata(Path(__file__).parent).values() for _, test in tests}
    assert set(TESTS) == named
    assert {name for name, _ in REPAIRS} == named
    assert {name.split("_")[1] for name in named} == set(seeds.ERRATA)


@pytest.mark.parametrize(
    ("name", "repairs"),
    quick(REPAIRS, every=3),
    ids=[f"{name.split('_')[1]}-{'-'.join(repairs)}" for name, repairs in REPAIRS],
)
def test_the_test_fails_on_what_is_repaired(name, repairs, monkeypatch):
    module, test = TESTS[name]
    for printed, repaired in repairs.items():
        assert getattr(module, printed) is not repaired
        monkeypatch.setattr(module, printed, repaired)
    assert [given for given in arguments(test) if complaint(test, given)]


def test_an_assertion_of_somebody_else_is_no_proof():
    def test():
        exec(compile("assert False", "/elsewhere/torch.py", "exec"))  # noqa: S102 -- an assertion of another file

    with pytest.raises(AssertionError):
        complaint(test, {})
