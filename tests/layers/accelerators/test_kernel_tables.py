"""What a program of the fused kernels takes at a time."""

import math

import pytest

from lcl_ref.layers.engines.accelerators.kernel_tables import LARGEST, blocks_of

PRODUCTS = [
    (1, 131074, 9, 2),
    (1, 9, 131074, 2),
    (3, 2, 65537, 1),
    (65792, 2, 6, 2),
    (1, 2, 3, 65537),
    (49, 16, 9216, 256),
]


def programs(product, blocks):
    """How many programs make a batch of products, and how many steps each."""
    total, rows, inner, columns = (-(-whole // part) for whole, part in zip(product, blocks, strict=True))
    return total * rows * columns, inner


@pytest.mark.parametrize("product", PRODUCTS)
def test_an_interpreter_is_done_in_seconds(product):
    """It takes some 10 ms for a step of a program, whatever its size, and 10 ns for each number of a factor."""
    blocks = blocks_of(*product, interpreted=True)
    assert math.prod(programs(product, blocks)) <= 1000
    together, rows, inner, columns = blocks
    assert together * max(rows * inner, inner * columns, rows * columns) <= 1 << 20


@pytest.mark.parametrize("product", PRODUCTS)
def test_a_card_makes_one_product_per_program_in_blocks_that_fit_its_registers(product):
    together, *sides = blocks_of(*product, interpreted=False)
    assert together == 1
    assert all(16 <= side <= LARGEST for side in sides)
