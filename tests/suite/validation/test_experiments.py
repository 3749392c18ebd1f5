"""The limits of SPEC clause 12 on random layers: right answers in any order pass, cheaper arithmetic is seen and named.

Short forms of `benchmarks/bound_experiment.py` and `benchmarks/reduced_precision.py`.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from lcl_ref.suite.adapter import RESULTS
from lcl_ref.suite.cases.catalogue import select
from lcl_ref.suite.cases.tiers import CORE
from lcl_ref.suite.formats import DTYPES
from lcl_ref.suite.golden import results
from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.bounds import magnitudes
from tests.support.marks import quick
from tools.limits import summation
from tools.limits.experiments import SIGNS, random_layer, random_operands, stream, tallies
from tools.limits.reduced_arithmetic import ARITHMETICS, seen, seen_in_catalogue
from tools.limits.summation import ORDERS, Terms, fma, nearest, odd_sum, terms_of, two_product, two_sum

each_arithmetic = pytest.mark.parametrize(
    "arithmetic", quick(ARITHMETICS, every=3), ids=lambda one: f"{one.name}, {one.dtype} {one.order}".strip()
)
OUTPUTS = 20_000
EXACT = [
    case for case in select(CORE) if case.values == "exact" and case.batch and case.topic not in ("sizes", "values")
]


def reals(count, seed, dtype=np.float64):
    random = stream(seed)
    return np.ldexp(random.random(count) * 2 - 1, random.integers(-30, 30, count)).astype(dtype)


def fractions(*arrays):
    return zip(*([Fraction(float(value)) for value in array] for array in arrays), strict=True)


# --- the arithmetic behind the experiment -----------------------------------------------------------------------------


def test_sums_and_products_lose_nothing():
    a, b = reals(2000, 1), reals(2000, 2)
    for x, y, total, lost, product, rest in fractions(a, b, *two_sum(a, b), *two_product(a, b)):
        assert total + lost == x + y
        assert product + rest == x * y


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fma_is_one_correct_rounding(dtype):
    a, b = reals(4000, 3, dtype), reals(4000, 4, dtype)
    c = np.where(np.arange(4000) % 2, -(a * b), reals(4000, 5, dtype)).astype(dtype)  # half of them cancel
    got = fma(a, b, c)
    assert got.dtype == dtype
    for value, (x, y, z) in zip(got, fractions(a, b, c), strict=True):
        exact = x * y + z
        below, above = np.nextafter(value, dtype(-np.inf)), np.nextafter(value, dtype(np.inf))
        error = abs(Fraction(float(value)) - exact)
        assert error <= min(abs(Fraction(float(other)) - exact) for other in (below, above))
    assert (got != a * b + c).any()


def test_rounding_to_odd_keeps_what_a_second_rounding_needs():
    tie = odd_sum(np.array([1.0]), np.array([2.0**-24 + 2.0**-60]))  # just above halfway between two float32
    assert tie.astype(np.float32) == np.float32(1 + 2.0**-23)
    assert np.float32(1.0 + (2.0**-24 + 2.0**-60)) == 1  # rounded twice


def test_nearest_is_the_exact_sum_to_the_last_bit():
    left, right, start = reals(600, 6).reshape(20, 30), reals(600, 7).reshape(20, 30), reals(20, 8)
    for got, lefts, rights, first in zip(nearest(Terms(left, right, start)), left, right, start, strict=True):
        products = [x * y for x, y in fractions(lefts, rights)]
        exact = sum(products, Fraction(float(first)))
        size = sum(map(abs, products), abs(Fraction(float(first))))
        assert abs(Fraction(float(got)) - exact) <= abs(exact) / 2**53 + size * Fraction(31, 2**53) ** 2


@pytest.mark.parametrize("case", EXACT, ids=lambda case: case.id)
def test_terms_are_those_of_the_layer_in_every_order(case):
    operands = results.exact_operands(case)
    golden = results.compute(case)
    terms_counted = magnitudes(case.spec, operands)
    for name in RESULTS:
        if name in golden:
            terms = terms_of(case.spec, operands, name)
            counted = np.count_nonzero(terms.left * terms.right, axis=1)
            assert np.array_equal(counted, terms_counted[name].terms.reshape(-1))
            for order in ORDERS.values():
                total = order(terms.astype(np.float32))
                assert np.array_equal(total, golden[name].reshape(-1))


def test_orders_round_differently():
    spec, batch = random_layer(stream(2))
    operands = random_operands(stream(3), spec, batch, "float32", "mixed")
    terms = terms_of(spec, operands, "y")
    assert terms.left.shape[1] > summation.LANES
    answers = {order(terms).tobytes() for order in ORDERS.values()}
    assert len(answers) == len(ORDERS)


# --- right answers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("result", RESULTS)
@pytest.mark.parametrize("dtype", quick(DTYPES, every=2))
def test_no_right_answer_is_over_its_limit_or_suspect(dtype, result):
    found = tallies(dtype, result, OUTPUTS, seed=7)
    assert len(found) == len(ORDERS) + 1
    assert sum(tally.outputs for tally in found.values()) >= OUTPUTS
    assert [name for name, tally in found.items() if tally.over or tally.suspect] == []
    # A limit no right answer comes near would let wrong ones pass.
    assert max(tally.worst for tally in found.values()) > (0.9 if dtype in ("float16", "bfloat16") else 0.2)


# --- cheaper arithmetic -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("signs", SIGNS)
@each_arithmetic
def test_cheaper_arithmetic_is_flagged_and_named(arithmetic, signs):
    found = seen(arithmetic, signs, cases=24, seed=8)
    serial = arithmetic.order != "blocked"  # in lanes, sums are short and some come out right
    assert found.flagged >= (1 if serial else 0.9)
    assert found.named >= 0.9 * found.cases


@each_arithmetic
def test_the_rounded_cases_see_every_cheaper_arithmetic(arithmetic):
    found = seen_in_catalogue(arithmetic, Store(default_root()))
    assert found.cases >= (50 if arithmetic.inputs else 10)
    assert found.failed + found.warned == found.named == found.cases
