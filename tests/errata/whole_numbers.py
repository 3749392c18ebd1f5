"""Integers, elementary questions and the mark of a repair, which the tests of errata share."""

import math

import numpy as np
import torch


def integers(*shape, seed=0, largest=9):
    """Whole numbers as float64: sums of their products are exact in float32, in any order."""
    return np.random.default_rng(seed).integers(-largest, largest + 1, shape).astype(np.float64)


def counting(*shape):
    """Distinct whole numbers from 1."""
    return np.arange(1.0, math.prod(shape) + 1).reshape(shape)


def tensor(*shape, seed=0, dtype=torch.float32):
    """The same integers in torch."""
    return torch.from_numpy(integers(*shape, seed=seed)).to(dtype)


def with_integers(module):
    """The module with whole numbers for parameters."""
    for seed, parameter in enumerate(module.parameters()):
        parameter.data = tensor(*parameter.shape, seed=seed, dtype=parameter.dtype)
    return module


def same_bits(one, other):
    return torch.equal(one.detach(), other.detach())


def raises(error, function, *arguments):
    """Whether the call raises this error; any other one escapes."""
    try:
        function(*arguments)
    except error:
        return True
    return False


def accepts(function, *arguments):
    """Whether the call goes through, where a repaired layer refuses what it is given with a ValueError."""
    return not raises(ValueError, function, *arguments)


def repaired_by(**repairs):
    """Mark a test of an erratum: with these names of its module replaced, what is printed is right and the test fails.

    Several marks are several repairs, each of which makes it fail by itself.
    """

    def mark(test):
        test.repairs = (*getattr(test, "repairs", ()), repairs)
        return test

    return mark
