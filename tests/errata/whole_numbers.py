"""Integers and elementary questions that the tests of errata share."""

import math

import numpy as np


def integers(*shape, seed=0, largest=9):
    """Whole numbers as float64: sums of their products are exact in float32, in any order."""
    return np.random.default_rng(seed).integers(-largest, largest + 1, shape).astype(np.float64)


def counting(*shape):
    """Distinct whole numbers from 1."""
    return np.arange(1.0, math.prod(shape) + 1).reshape(shape)


def raises(error, function, *arguments):
    """Whether the call raises this error; any other one escapes."""
    try:
        function(*arguments)
    except error:
        return True
    return False
