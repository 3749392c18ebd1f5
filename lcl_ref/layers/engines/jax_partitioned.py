"""The layer in JAX as operations that XLA's partitioner knows how to cut: halos move, and no input is gathered.

XLA cuts a program that is jitted with shardings when it compiles it, long after it was traced. So each product of the
layer says by `custom_partitioning` what one device then does (what `jax_shards` does, or its transposes), and by a rule
which axes of its arrays are cut alike. The derivatives of each product are the other two. On one device they are those
of `lcl_ref.layers.engines.jax`.

A product is the same function of whole arrays however they are cut, so XLA may cut one in another way than the next.
That is why the gradient of the weight gets the halo of x again, which the output had got.
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
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from lcl_ref.core.spec import Spec
from lcl_ref.layers.engines import jax_shards
from lcl_ref.layers.engines.jax import local as whole
from lcl_ref.layers.engines.jax_tiles import compiled, mapped
from lcl_ref.layers.engines.shards import Cut

OPERANDS = {"y": "xw", "x": "yw", "w": "xy"}
"""Of each product by its result: x ``(n, i*, ci)``, w ``(p*, k*, cg, co)``, y ``(n, o*, co)``, or their gradients."""


def local(spec: Spec, x: Any, weight: Any, bias: Any = None) -> Any:
    """Return ``y (n, o*, co)`` of ``x (n, i*, ci)`` with canonical weight and bias, in the dtype of x."""
    if all(spec.shared) or not len(x) or not _may_be_cut(x, weight):
        return whole(spec, x, weight, bias)
    wide = jnp.promote_types(x.dtype, jnp.float32)
    y = _bound("y", spec, x.astype(wide), weight.astype(wide))
    return (y if bias is None else y + bias.astype(wide)).astype(x.dtype)


def _may_be_cut(*arrays: Any) -> bool:
    """Return whether XLA may cut the program: by Shardy, and along automatic axes, which the others are not left to."""
    automatic = set(jax.sharding.get_abstract_mesh().axis_types) <= {AxisType.Auto}
    told = any(name is not None for array in arrays for name in jax.typeof(array).sharding.spec)
    shardy = getattr(jax.config, "jax_use_shardy_partitioner", True)  # of later versions, the only one
    return jax.device_count() > 1 and shardy and automatic and not told


def _product(result: str, layer: Any, first: Any, second: Any, shape: Any) -> Any:
    """Return a product, of such a shape, by `layer`, which is ``(x, w) -> y``."""
    if result == "y":
        return layer(first, second)
    dy, of_result = (first, lambda x: layer(x, second)) if result == "x" else (second, partial(layer, first))
    return jax.linear_transpose(of_result, jax.ShapeDtypeStruct(shape, dy.dtype))(dy)[0]


@cache
def _partitioned(result: str, spec: Spec) -> Any:
    """Return a product as a function that XLA's partitioner knows how to cut."""

    @custom_partitioning
    def run(first: Any, second: Any) -> Any:
        shape = {"x": spec.x_shape(len(first)), "w": spec.weight_shape}.get(result)
        layer = jax.jit(partial(whole, spec))  # or its constants would be operands that have no rule
        return _product(result, layer, first, second, shape)

    rule, kinds = _rule(result, spec)
    run.def_partition(partial(_partition, result, spec), sharding_rule=rule, **kinds)
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


def _partition(result: str, spec: Spec, mesh: Any, operands: Any, found: Any) -> tuple[Any, Any, Any, Any]:
    """Return what each device does, and how arrays are cut for that: as y is."""
    given = dict(zip((*OPERANDS[result], result), (*operands, found), strict=True))
    batch, *names = _names(mesh, given["y"])[: spec.rank + 1]
    own = (None if shared else name for name, shared in zip(names, spec.shared, strict=True))
    cut_as = {"x": PartitionSpec(batch, *names), "w": PartitionSpec(*own), "y": PartitionSpec(batch, *names)}
    cut = {axis: Cut(spec, axis, mesh.shape[name]) for axis, name in enumerate(names) if name is not None}
    layer = partial(jax_shards.of_a_device, spec, tuple(names), jax_shards.in_order_of(mesh, tuple(names), cut))
    parts = (1 if name is None else mesh.shape[name] for name in cut_as[result])
    shape = tuple(-(-size // count) for size, count in zip_longest(found.shape, parts, fillvalue=1))
    summed = {batch, *names} - {None, *cut_as["w"]} if result == "w" else set()

    def of_a_device(first: Any, second: Any) -> Any:
        return lax.psum(_product(result, layer, first, second, shape), tuple(summed))

    shardings = {tensor: NamedSharding(mesh, one) for tensor, one in cut_as.items()}
    return mesh, of_a_device, shardings[result], tuple(shardings[tensor] for tensor in OPERANDS[result])


def _names(mesh: Any, array: Any) -> list[Any]:
    """Return the mesh axis of each axis of an array; None where there is none, or several, or it does not divide it.

    Weights and samples cannot be cut unevenly; ends that make them even would hold anything, and be summed.
    """
    names = (*array.sharding.spec, *(None,) * len(array.shape))
    pairs = zip(array.shape, names, strict=False)
    return [name if isinstance(name, str) and size % mesh.shape[name] == 0 else None for size, name in pairs]


def _bound(result: str, spec: Spec, first: Any, second: Any) -> Any:
    """Bind a product; that it holds what it computes tells JAX that devices have to be known when it is lowered."""
    arrays = tuple((array.shape, array.dtype) for array in (first, second))
    call = _traced(result, spec, arrays, jax.sharding.get_abstract_mesh())
    return PRODUCTS[result].bind(first, second, spec=spec, call=call)


@cache
def _traced(result: str, spec: Spec, arrays: Any, _: Any) -> Any:
    return jax.make_jaxpr(_partitioned(result, spec))(*(jax.ShapeDtypeStruct(*array) for array in arrays))


def _primitive(result: str) -> Any:
    primitive = Primitive(f"lcl_partitioned_{result}")
    primitive.def_impl(compiled(primitive, "spec", "call"))
    primitive.def_abstract_eval(lambda *_, call, **__: call.out_avals[0])

    def run(first: Any, second: Any, *, spec: Spec, **_: Any) -> Any:
        return _partitioned(result, spec)(first, second)

    mlir.register_lowering(primitive, mlir.lower_fun(run, multiple_results=False))
    batching.primitive_batchers[primitive] = partial(mapped, primitive)
    ad.defbilinear(primitive, *(partial(_transposed, result, wanted) for wanted in OPERANDS[result]))
    return primitive


def _transposed(result: str, wanted: str, cotangent: Any, first: Any, second: Any, *, spec: Spec, **_: Any) -> Any:
    """Return the gradient of one operand: the product that has it for its result."""
    known = dict(zip((*OPERANDS[result], result), (first, second, cotangent), strict=True))
    return _bound(wanted, spec, *(known[tensor] for tensor in OPERANDS[wanted]))


PRODUCTS: Mapping[str, Any] = {result: _primitive(result) for result in OPERANDS}
