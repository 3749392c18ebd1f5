"""The layer in JAX as operations that XLA's partitioner knows how to cut: halos move, and nothing is gathered.

XLA cuts a program that is jitted with shardings when it compiles it, long after it was traced. So each product of the
layer says by `custom_partitioning` what a device then does (what `jax_shards` does, or its transposes), and by a rule
which axes of its arrays are cut alike. The derivatives of each product are the other two. On one device they are those
of `lcl_ref.layers.engines.jax`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from itertools import zip_longest
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental.custom_partitioning import custom_partitioning
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jax.sharding import NamedSharding, PartitionSpec

from lcl_ref.core.spec import Spec
from lcl_ref.layers.engines import jax_shards
from lcl_ref.layers.engines.jax import local as whole
from lcl_ref.layers.engines.jax_tiles import mapped
from lcl_ref.layers.engines.shards import Cut

OPERANDS = {"y": ("x", "w"), "x": ("y", "w"), "w": ("x", "y")}
"""Of each product by its result: x ``(n, i*, ci)``, w ``(p*, k*, cg, co)``, y ``(n, o*, co)``, or gradients of these."""


def local(spec: Spec, x: Any, weight: Any, bias: Any = None) -> Any:
    """Return ``y (n, o*, co)`` of ``x (n, i*, ci)`` with canonical weight and bias, in the dtype of x."""
    if all(spec.shared) or not len(x):  # XLA cannot cut an array without elements
        return whole(spec, x, weight, bias)
    wide = jnp.promote_types(x.dtype, jnp.float32)
    y = _bound("y", spec, x.astype(wide), weight.astype(wide))
    return (y if bias is None else y + bias.astype(wide)).astype(x.dtype)


def _product(result: str, layer: Any, first: Any, second: Any, shape: Any) -> Any:
    """Return a product by `layer`, which is ``(x, w) -> y``; `shape` is that of the result."""
    if result == "y":
        return layer(first, second)
    of_result = (lambda x: layer(x, second)) if result == "x" else (lambda weight: layer(first, weight))
    dy = first if result == "x" else second
    return jax.linear_transpose(of_result, jax.ShapeDtypeStruct(shape, first.dtype))(dy)[0]


def _shape(tensor: str, spec: Spec, batch: int) -> tuple[int, ...]:
    return {"x": spec.x_shape(batch), "w": spec.weight_shape, "y": spec.y_shape(batch)}[tensor]


@cache
def _partitioned(result: str, spec: Spec) -> Any:
    """Return a product as a function that XLA's partitioner knows how to cut."""

    @custom_partitioning
    def run(first: Any, second: Any) -> Any:
        shape = _shape(result, spec, len(first))
        return _product(result, jax.jit(partial(whole, spec)), first, second, shape)

    rule, kinds = _rule(result, spec)
    run.def_partition(
        partial(_partition, result, spec),
        infer_sharding_from_operands=partial(_inferred, result, spec),
        sharding_rule=rule,
        **kinds,
    )
    return run


def _rule(result: str, spec: Spec) -> tuple[str, dict[str, tuple[str, ...]]]:
    """Return which axes of operands and result are cut alike, and what becomes of those that are not in the result."""
    axes = range(spec.rank)
    places, taps = [f"p{axis}" for axis in axes], [f"k{axis}" for axis in axes]
    own = [f"s{axis}" if spec.shared[axis] else f"p{axis}" for axis in axes]
    factors = {"x": ["n", *places, "c"], "w": [*own, *taps, "g", "f"], "y": ["n", *places, "f"]}
    first, second, last = (factors[tensor] for tensor in (*OPERANDS[result], result))
    used = dict.fromkeys([*first, *second, *last])  # special ones have to be named in the order of the rule
    moving = {"n", *places}
    return f"{' '.join(first)}, {' '.join(second)} -> {' '.join(last)}", {
        "reduction_factors": tuple(name for name in used if name in moving and name not in last),
        "need_replication_factors": tuple(name for name in used if name not in moving),
    }


def _inferred(result: str, spec: Spec, mesh: Any, operands: Any, _: Any) -> NamedSharding:
    """Return how the result is cut: positions as the weight is, where it is among the operands."""
    given = dict(zip(OPERANDS[result], map(_names, operands), strict=True))
    sites = given.get("x", given.get("y"))
    assert sites is not None, "one of the operands has samples"
    names = [given.get("w", sites[1:])[axis] or sites[axis + 1] for axis in range(spec.rank)]
    return _shardings(spec, mesh, sites[0], names)[result]


def _partition(result: str, spec: Spec, mesh: Any, operands: Any, found: Any) -> tuple[Any, Any, Any, Any]:
    """Return what each device does, and how arrays are cut for that: as y is."""
    given = dict(zip(OPERANDS[result], operands, strict=True)) | {result: found}
    batch, *names = _names(given["y"])[: spec.rank + 1]
    shardings = _shardings(spec, mesh, batch, names)
    cut = {axis: Cut(spec, axis, mesh.shape[name]) for axis, name in enumerate(names) if name is not None}
    parts = (1 if name is None else mesh.shape[name] for name in shardings[result].spec)
    shape = [-(-size // count) for size, count in zip_longest(given[result].shape, parts, fillvalue=1)]
    layer = partial(jax_shards.of_a_device, spec, tuple(names), jax_shards.in_order_of(mesh, tuple(names), cut))
    summed = {batch, *names} - {None, *shardings["w"].spec} if result == "w" else set()

    def of_a_device(first: Any, second: Any) -> Any:
        return lax.psum(_product(result, layer, first, second, shape), tuple(summed))

    return mesh, of_a_device, shardings[result], tuple(shardings[tensor] for tensor in OPERANDS[result])


def _names(array: Any) -> list[Any]:
    """Return the mesh axis of each axis of an array; None where there is none, or several."""
    names = (*array.sharding.spec, *(None,) * len(array.shape))[: len(array.shape)]
    return [name if isinstance(name, str) else None for name in names]


def _shardings(spec: Spec, mesh: Any, batch: Any, names: Any) -> dict[str, NamedSharding]:
    own = [None if shared else name for name, shared in zip(names, spec.shared, strict=True)]
    found = {"x": PartitionSpec(batch, *names), "w": PartitionSpec(*own), "y": PartitionSpec(batch, *names)}
    return {tensor: NamedSharding(mesh, one) for tensor, one in found.items()}


def _bound(result: str, spec: Spec, first: Any, second: Any) -> Any:
    """Bind a product; that its parameters hold what it computes tells JAX that devices are to be known when lowered."""
    arrays = tuple((array.shape, array.dtype) for array in (first, second))
    call = _traced(result, spec, arrays, jax.sharding.get_abstract_mesh())
    return PRODUCTS[result].bind(first, second, spec=spec, call=call)


@cache
def _traced(result: str, spec: Spec, arrays: Any, _: Any) -> Any:
    return jax.make_jaxpr(_partitioned(result, spec))(*(jax.ShapeDtypeStruct(*array) for array in arrays))


def _primitive(result: str) -> Any:
    primitive = Primitive(f"lcl_partitioned_{result}")
    primitive.def_impl(jax.jit(primitive.bind, static_argnames=("spec", "call")))
    primitive.def_abstract_eval(lambda *_, spec, call: call.out_avals[0])
    run = lambda first, second, spec, call: _partitioned(result, spec)(first, second)  # noqa: E731
    mlir.register_lowering(primitive, mlir.lower_fun(run, multiple_results=False))
    batching.primitive_batchers[primitive] = partial(mapped, primitive)
    first, second = OPERANDS[result]
    ad.defbilinear(primitive, partial(_transposed, result, first), partial(_transposed, result, second))
    return primitive


def _transposed(result: str, wanted: str, cotangent: Any, first: Any, second: Any, *, spec: Spec, call: Any) -> Any:
    """Return the gradient of one operand: the product that has it for its result."""
    known = dict(zip(OPERANDS[result], (first, second), strict=True)) | {result: cotangent}
    return _bound(wanted, spec, *(known[tensor] for tensor in OPERANDS[wanted]))


PRODUCTS: Mapping[str, Any] = {result: _primitive(result) for result in OPERANDS}
