"""The engine of JAX: what all engines owe, its routes, modes of differentiation, memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lcl_ref as lcl
from lcl_backends.jax.fast import Adapter
from lcl_ref.core import reference
from lcl_ref.layers.engines import jax as engine
from lcl_ref.layers.engines import jax_beside, jax_kernel, jax_tiles
from lcl_ref.layers.engines.jax_operands import layer
from tests.support.engine_contract import EngineContract
from tests.support.layer_answers import assert_conforms, integers

LARGE = lcl.Spec(input_size=(40, 41), in_channels=8, out_channels=4, kernel_size=(7, 6), stride=(2, 1), padding=1)
"""Windows of 32 samples: 29 MB."""

LAYER = lcl.Spec(input_size=(4, 3), in_channels=2, out_channels=2, kernel_size=(3, 2), padding=((0, 1), (1, 0)))


BLOCKS = {"in_channels": 12, "out_channels": 192, "groups": 3, "bias": "channel"}


@pytest.fixture(autouse=True)
def traced_anew(monkeypatch):
    """Forget functions of layers, traced with other rooms than a test sets; without the kernel, which has its tests."""
    monkeypatch.setattr(jax_kernel, "registered", lambda: False)
    layer.cache_clear()
    yield
    layer.cache_clear()


class TestContract(EngineContract):
    adapter = Adapter()

    def make_tiles(self, monkeypatch, room):
        monkeypatch.setattr(engine, "ROOM_BYTES", -1)
        monkeypatch.setattr(jax_tiles, "TILE_BYTES", room)


@pytest.mark.parametrize("batch", [0, 5])
@pytest.mark.parametrize(("rank", "changes"), [(0, {}), (0, {"groups": 1}), (2, {})])
def test_few_wide_blocks_are_multiplied_one_by_one(monkeypatch, rank, changes, batch):
    monkeypatch.setattr(jax_beside, "_batched", None)
    spec = lcl.Spec(input_size=(1,) * rank, kernel_size=(1,) * rank, **BLOCKS | changes)
    assert_conforms(Adapter(), spec, batch)


@pytest.mark.parametrize(
    ("changes", "batch", "route"),
    [
        ({}, 1, "_at_once"),
        ({}, 10_000, "_by_tiles"),
        ({"kernel_size": 1, "padding": 0}, 10_000, "beside"),
        ({"kernel_size": (4, 3), "padding": 0}, 10_000, "beside"),
        ({"kernel_size": (4, 1), "stride": (3, 1), "padding": 0}, 10_000, "beside"),
    ],
)
def test_the_route_is_chosen_by_geometry(monkeypatch, changes, batch, route):
    spec = lcl.Spec.from_dict(LAYER.to_dict() | changes)
    for name in ("_at_once", "_by_tiles"):
        monkeypatch.setattr(engine, name, lambda *_, name=name: name)
    monkeypatch.setattr(jax_beside, "product", lambda *_: "beside")
    x = np.empty((batch, *spec.input_size, 1, spec.in_channels), np.float32)
    assert engine.product(spec, x, np.zeros(spec.weight_shape, np.float32)) == route


@pytest.fixture
def by_tiles(monkeypatch):
    monkeypatch.setattr(engine, "ROOM_BYTES", -1)
    monkeypatch.setattr(jax_tiles, "TILE_BYTES", 1000)
    return layer(LAYER, engine.product, engine.biased)


def operands_of(spec, batch):
    return [jnp.asarray(integers(spec, batch, 0, "float32")[name]) for name in ("x", "weight", "bias")]


def test_tiles_without_compilation(by_tiles):
    """Where JAX is told to compile nothing, a primitive that is compiled alone must not ask itself."""
    operands = operands_of(LAYER, 2)
    with jax.disable_jit():
        np.testing.assert_array_equal(by_tiles(*operands), layer(LAYER, engine._at_once)(*operands))


def loss(apply):
    return lambda *operands: (apply(*operands) ** 2).sum()


@pytest.mark.slow
def test_every_mode_and_order_of_differentiation(by_tiles):
    """Against JAX's own derivatives of the same layer by one gather; whole numbers, so equal to the last bit."""
    operands = operands_of(LAYER, 2)
    plain = layer(LAYER, engine._at_once)
    for derive in (
        lambda apply: jax.grad(loss(apply), (0, 1, 2))(*operands),
        lambda apply: jax.jvp(apply, operands, operands),
        lambda apply: jax.hessian(loss(apply), 1)(*operands),
        lambda apply: jax.jacrev(jax.grad(loss(apply), 0), 1)(*operands),
        lambda apply: jax.linear_transpose(lambda x: apply(x, operands[1], None), operands[0])(apply(*operands)),
    ):
        got, want = derive(by_tiles), derive(plain)
        jax.tree.map(np.testing.assert_array_equal, got, want)


def test_mapped_over_either_operand_or_both(by_tiles):
    x, weight, _ = operands_of(LAYER, 2)
    want = by_tiles(x, weight, None)
    many = [jnp.stack([operand, -operand], axis=1) for operand in (x, weight)]
    for first, second, signs in ((0, 1, (1, -1)), (1, 0, (1, -1)), (1, 1, (1, 1))):
        axes = [1 if first else None, 1 if second else None]
        operands = [many[0] if first else x, many[1] if second else weight]
        got = jax.vmap(lambda x, weight: by_tiles(x, weight, None), axes)(*operands)
        np.testing.assert_array_equal(got, jnp.stack([sign * want for sign in signs]))


def test_the_input_is_copied_once():
    spec = lcl.Spec.from_dict(LARGE.to_dict() | {"padding": 0, "in_channels": 32})
    operands = [jnp.zeros(shape, jnp.float32) for shape in (spec.x_shape(32), spec.weight_shape, spec.bias_shape)]
    compiled = jax.jit(layer(spec, engine.product)).lower(*operands).compile()
    assert operands[0].nbytes < compiled.memory_analysis().temp_size_in_bytes < 2 * operands[0].nbytes


@pytest.mark.slow
def test_working_memory_stays_below_the_windows_and_weights_are_not_copied():
    given = {name: jnp.asarray(array) for name, array in integers(LARGE, 32, 0, "float32").items()}
    apply = jax.jit(layer(LARGE, engine.product))
    padded, windows = 4 * 32 * 42 * 43 * 8, 4 * 32 * LARGE.fan_in * 18 * 38
    operands = [given[name] for name in ("x", "weight", "bias")]
    forward = apply.lower(*operands).compile().memory_analysis()
    assert forward.temp_size_in_bytes < 2 * padded + 3 * jax_tiles.TILE_BYTES
    pull = jax.jit(lambda *given: jax.vjp(apply, *given[:3])[1](given[3]))
    step = pull.lower(*operands, given["dy"]).compile().memory_analysis()
    assert step.temp_size_in_bytes < 4 * padded + 3 * jax_tiles.TILE_BYTES < windows
    want = reference.vjp(LARGE, *(np.array(given[name]) for name in ("x", "weight", "dy")))
    for got, answer in zip(pull(*operands, given["dy"]), want, strict=True):
        np.testing.assert_array_equal(got, answer)
