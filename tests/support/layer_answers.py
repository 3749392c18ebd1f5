"""Layers drawn at random, operands of small integers, the right answers, and those of an adapter; no framework."""

import numpy as np

import lcl_ref as lcl
from lcl_ref.core import reference
from lcl_ref.suite.formats import FORMATS
from lcl_ref.suite.to_numpy import to_numpy

RESULTS = ("y", "dx", "dw", "db", "xt")


def random_spec(draw, tiling=False):
    """A layer of any rank with every setting in play, small enough for the reference; `tiling`: no window overlaps."""
    rank = int(draw.integers(4))
    groups, inputs, outputs = (int(number) for number in draw.integers(1, 4, 3))

    def per_axis(least, most):
        return tuple(draw.integers(least, most + 1, rank).tolist())

    arguments = {
        "input_size": per_axis(1, (1, 9, 6, 4)[rank]),
        "in_channels": groups * inputs,
        "out_channels": groups * outputs,
        "kernel_size": per_axis(1, 3),
        "stride": per_axis(1, 3),
        "dilation": per_axis(1, 2),
        "padding": tuple(zip(per_axis(0, 2), per_axis(0, 3), strict=True)),
        "groups": groups,
        "shared": [(False,) * rank, (True,) * rank, tuple(size == 2 for size in per_axis(1, 2))][draw.integers(3)],
        "bias": ("none", "channel", "position")[draw.integers(3)],
    }
    if draw.random() < 0.2:
        table = [draw.permutation(groups * inputs)[:inputs].tolist() for _ in range(groups * outputs)]
        arguments |= {"groups": 1, "channel_table": table}
    if tiling:
        kernel, positions = arguments["kernel_size"], per_axis(1, 3)
        size = tuple(k * o for k, o in zip(kernel, positions, strict=True))
        arguments |= {"input_size": size, "stride": kernel, "dilation": 1, "padding": 0}
    try:
        return lcl.Spec(**arguments)
    except lcl.SpecError:
        return random_spec(draw, tiling)


def supported(draw, capabilities, make=random_spec, dtype="float32"):
    """The next layer drawn that an adapter declares to support."""
    while True:
        spec = make(draw)
        if capabilities.refusal(spec, dtype, "forward") is None:
            return spec


def integers(spec, batch, seed, dtype="float64", largest=1):
    """Operands x, weight, bias, dy of integers up to `largest`, read-only."""
    stream = np.random.default_rng(seed)
    shapes = {"x": spec.x_shape(batch), "weight": spec.weight_shape, "bias": spec.bias_shape, "dy": spec.y_shape(batch)}
    arrays = {
        name: None if shape is None else stream.integers(-largest, largest + 1, shape).astype(FORMATS[dtype].dtype)
        for name, shape in shapes.items()
    }
    for array in arrays.values():
        if array is not None:
            array.flags.writeable = False
    return arrays


def golden(spec, operands):
    """The results of the reference, in exact integers."""
    x, weight, bias, dy = (None if array is None else array.astype(np.int64) for array in operands.values())
    dx, dw, db = reference.vjp(spec, x, weight, dy)
    return dict(zip(RESULTS, (reference.forward(spec, x, weight, bias), dx, dw, db, dx), strict=True))


def answers(adapter, spec, operands, dtype):
    """The results of the operations that an adapter has, as arrays."""
    layer = adapter.prepare(spec, operands["weight"], operands["bias"], dtype)
    values = [layer.forward(operands["x"])]
    if "vjp" in adapter.declaration.capabilities.ops:
        values += [*layer.vjp(operands["x"], operands["dy"]), layer.transpose(operands["dy"])]
    return {name: None if value is None else to_numpy(value) for name, value in zip(RESULTS, values, strict=False)}


def assert_equal(got, want, dtype, about):
    """Compare results bit for bit, dtypes and shapes included."""
    for name in got:
        if want[name] is None:
            assert got[name] is None, f"{about}: {name}"
            continue
        assert got[name].dtype == FORMATS[dtype].dtype, f"{about}: {name}"
        assert np.array_equal(got[name].astype(np.float64), want[name]), f"{about}: {name}"
        assert got[name].shape == want[name].shape, f"{about}: {name}"


def assert_conforms(adapter, spec, batch, seed=0, dtype="float32", largest=3):
    """Compare what an adapter answers on small integers with the reference."""
    operands = integers(spec, batch, seed, dtype, largest)
    assert_equal(answers(adapter, spec, operands, dtype), golden(spec, operands), dtype, f"{batch} {spec.to_json()}")
