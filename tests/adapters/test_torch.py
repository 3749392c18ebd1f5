"""The torch routes against the readable reference: integers small enough that every right answer has the same bits."""

import math
import subprocess
import sys

import numpy as np
import pytest

import lcl_ref as lcl
from lcl_backends.torch import conv, fast, grouped_conv, loop, masked, unfold
from lcl_ref.core import reference
from lcl_ref.suite.formats import DTYPES, FORMATS
from lcl_ref.suite.judge import bounds
from lcl_ref.suite.run.registered import registered
from lcl_ref.suite.to_numpy import to_numpy
from tests.support.layer_answers import RESULTS, answers, assert_equal, golden, integers, random_spec
from tests.support.paths import ROOT

MODULES = (conv, fast, grouped_conv, loop, masked, unfold)
ADAPTERS = {module.Adapter.declaration.name: module.Adapter() for module in MODULES}
LOCAL = sorted(set(ADAPTERS) - {"torch.conv"})


def check_random_layers(name, dtype, count):
    adapter, draw, tried = ADAPTERS[name], np.random.default_rng(count), 0
    while tried < count:
        spec, batch = random_spec(draw), (0, 1, 3)[tried % 3]
        if adapter.declaration.capabilities.refusal(spec, dtype, "vjp") is not None:
            continue
        operands = integers(spec, batch, tried, dtype)
        assert_equal(
            answers(adapter, spec, operands, dtype), golden(spec, operands), dtype, f"{batch} {spec.to_json()}"
        )
        tried += 1


def pairs():
    return [(name, dtype) for name in ADAPTERS for dtype in real_dtypes(name)]


def real_dtypes(name):
    return [dtype for dtype in ADAPTERS[name].declaration.capabilities.dtypes if dtype in DTYPES]


@pytest.mark.parametrize(("name", "dtype"), pairs())
def test_random_layers(name, dtype):
    check_random_layers(name, dtype, 40)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "dtype"), pairs())
def test_many_random_layers(name, dtype):
    check_random_layers(name, dtype, 400)


def test_registered_under_their_declared_names():
    found = registered("torch")
    assert {name: found[name].load() for name in ADAPTERS} == {name: type(ADAPTERS[name]) for name in ADAPTERS}


def test_declarations_are_readable_without_torch():
    names = [module.__name__ for module in MODULES]
    code = (
        "import sys, importlib; sys.modules['torch'] = None\n"
        f"for name in {names}: print(importlib.import_module(name).Adapter.declaration.capabilities.dtypes)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.count("float64") == len(MODULES)


PATCHES = lcl.Spec(input_size=(5, 7), in_channels=4, out_channels=3, kernel_size=(2, 3), stride=(1, 2))


@pytest.mark.parametrize("name", LOCAL)
def test_patch_order(name):
    """A weight read channels first has the same shape and gives other numbers."""
    operands = integers(PATCHES, 2, 0, largest=3)
    want = golden(PATCHES, operands)
    flat = operands["weight"].reshape(*PATCHES.output_size, PATCHES.group_channels, *PATCHES.kernel_size, -1)
    mistaken = golden(PATCHES, operands | {"weight": np.moveaxis(flat, 2, -2)})
    assert not np.array_equal(mistaken["y"], want["y"])
    assert_equal(answers(ADAPTERS[name], PATCHES, operands, "float64"), want, "float64", name)


@pytest.mark.parametrize("name", sorted(ADAPTERS))
@pytest.mark.parametrize("bias", ["none", "channel", "position"])
def test_uneven_padding_and_windows_wholly_inside_it(name, bias):
    spec = lcl.Spec(
        input_size=(2, 3),
        in_channels=4,
        out_channels=6,
        kernel_size=(3, 2),
        stride=(2, 3),
        padding=((7, 0), (1, 5)),
        groups=2,
        shared=name == "torch.conv",
        bias=bias,
    )
    operands = integers(spec, 3, 1, largest=3)
    assert_equal(answers(ADAPTERS[name], spec, operands, "float64"), golden(spec, operands), "float64", name)


@pytest.mark.parametrize("name", sorted(ADAPTERS))
def test_batch_as_large_as_a_channel_count(name):
    """torch reads (channels, length) as one sample; a batch of that size must stay a batch."""
    spec = lcl.Spec(input_size=1, in_channels=4, out_channels=6, kernel_size=1, groups=2, shared=name == "torch.conv")
    for batch in (4, 6, 2):
        operands = integers(spec, batch, batch, largest=3)
        assert_equal(answers(ADAPTERS[name], spec, operands, "float64"), golden(spec, operands), "float64", name)


@pytest.mark.parametrize("name", sorted(ADAPTERS))
def test_float64_is_not_rounded_on_the_way(name):
    """1 + 2**-40 does not fit float32; a float32 buffer anywhere in the route loses it."""
    spec = lcl.Spec(input_size=(3, 4), in_channels=2, out_channels=3, kernel_size=(2, 1), shared=name == "torch.conv")
    fine, whole = 1 + 2.0**-40, integers(spec, 2, 3)
    want = golden(spec, whole)
    for scaled, linear_in_it in ((("x", "bias"), ("y", "dw")), (("dy",), ("dx", "dw", "db", "xt"))):
        operands = {key: value * fine if key in scaled else value for key, value in whole.items()}
        got = answers(ADAPTERS[name], spec, operands, "float64")
        for result in RESULTS:
            assert np.array_equal(got[result], want[result] * (fine if result in linear_in_it else 1)), result


@pytest.mark.parametrize("name", sorted(ADAPTERS))
def test_layer_owns_its_weights_and_leaves_operands_alone(name):
    spec = lcl.Spec(input_size=6, in_channels=2, out_channels=3, kernel_size=2, padding=1, shared=name == "torch.conv")
    operands = {key: value.copy() for key, value in integers(spec, 2, 4, largest=3).items()}
    before = {key: value.copy() for key, value in operands.items()}
    want = golden(spec, operands)
    layer = ADAPTERS[name].prepare(spec, operands["weight"], operands["bias"], "float64")
    layer.vjp(operands["x"], operands["dy"])
    layer.transpose(operands["dy"])
    assert all(np.array_equal(operands[key], before[key]) for key in operands)
    operands["weight"][:], operands["bias"][:] = 9, 9
    assert np.array_equal(to_numpy(layer.forward(operands["x"])), want["y"])
    assert np.array_equal(to_numpy(layer.vjp(operands["x"], operands["dy"])[1]), want["dw"])


def nonfinite_case(name):
    spec = lcl.Spec(
        input_size=(4, 5),
        in_channels=3,
        out_channels=2,
        kernel_size=(2, 3),
        padding=((1, 0), (0, 2)),
        shared=name == "torch.conv",
    )
    operands = {key: value.copy() for key, value in integers(spec, 2, 5, largest=3).items()}
    operands["x"][0, 1, 2, 0], operands["x"][1, 3, 4, 2], operands["x"][1, 0, 0, 1] = np.inf, np.nan, -np.inf
    with np.errstate(invalid="ignore"):
        return spec, operands, reference.forward(spec, operands["x"], operands["weight"], operands["bias"])


@pytest.mark.parametrize("name", sorted(set(ADAPTERS) - {"torch.masked"}))
def test_nonfinite_inputs_reach_only_what_sees_them(name):
    spec, operands, want = nonfinite_case(name)
    assert not np.isfinite(want).all()
    assert np.isfinite(want).any()
    for dtype in real_dtypes(name):
        x, weight, bias = (operands[key].astype(FORMATS[dtype].dtype) for key in ("x", "weight", "bias"))
        got = to_numpy(ADAPTERS[name].prepare(spec, weight, bias, dtype).forward(x)).astype(np.float64)
        assert np.array_equal(got, want, equal_nan=True), dtype


def test_masked_declares_that_zero_times_infinity_spreads():
    """The limit is real: one bad input poisons its whole sample."""
    spec, operands, want = nonfinite_case("torch.masked")
    adapter = ADAPTERS["torch.masked"]
    got = to_numpy(adapter.prepare(spec, operands["weight"], operands["bias"], "float64").forward(operands["x"]))
    assert np.isnan(got[np.isfinite(want)]).all()
    assert "0 * inf" in adapter.declaration.capabilities.refusal(spec, "float64", "forward", ("nonfinite",))


def test_loop_ties_shared_weights_and_draws_no_random_numbers():
    import torch

    spec = lcl.Spec(input_size=(4, 3), in_channels=2, out_channels=4, kernel_size=2, groups=2, shared=(True, False))
    operands = integers(spec, 1, 6)
    state = torch.get_rng_state()
    layer = ADAPTERS["torch.loop"].prepare(spec, operands["weight"], operands["bias"], "float64")
    assert torch.equal(torch.get_rng_state(), state)
    assert len(layer.weight.tensors) == math.prod(spec.weight_size) * spec.groups == 4
    assert len(layer.bias.tensors) == math.prod(spec.output_size) * spec.groups == 12


def test_conv_of_one_channel_with_an_output_one_position_wide():
    """oneDNN 3.12 answers wrongly here when the one channel makes the input look channels-last."""
    spec = lcl.Spec(
        input_size=(6, 3), in_channels=1, out_channels=3, kernel_size=(3, 2), stride=(1, 2), shared=True, bias="none"
    )
    operands = integers(spec, 2, 7, "float32", largest=3)
    assert_equal(answers(ADAPTERS["torch.conv"], spec, operands, "float32"), golden(spec, operands), "float32", "conv")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", LOCAL)
def test_outputs_in_half_types_are_summed_in_float32_and_rounded_once(name, dtype):
    spec = lcl.Spec(input_size=(5, 6), in_channels=8, out_channels=3, kernel_size=3, padding=1, shared=(False, True))
    form, stream = FORMATS[dtype], np.random.default_rng(8)
    shapes = {"x": spec.x_shape(4), "weight": spec.weight_shape, "bias": spec.bias_shape, "dy": spec.y_shape(4)}
    operands = {key: stream.standard_normal(shape).astype(form.dtype) for key, shape in shapes.items()}
    layer = ADAPTERS[name].prepare(spec, operands["weight"], operands["bias"], dtype)
    wide = {key: value.astype(np.float64) for key, value in operands.items()}
    want = reference.forward(spec, wide["x"], wide["weight"], wide["bias"])
    limit = bounds.limit(bounds.magnitudes(spec, operands)["y"], want, form, FORMATS["float32"])
    assert np.all(np.abs(to_numpy(layer.forward(operands["x"])).astype(np.float64) - want) <= limit)


def test_the_adapter_of_the_tutorial_is_right():
    text = (ROOT / "backends" / "README.md").read_text()
    names = {}
    exec(text.split("```python\n")[1].split("```")[0], names)  # noqa: S102 -- the page's own example
    adapter = names["Adapter"]()
    for bias in ("none", "channel", "position"):
        spec = lcl.Spec(input_size=12, in_channels=2, out_channels=5, kernel_size=3, stride=3, bias=bias)
        assert adapter.declaration.capabilities.refusal(spec, "float64", "vjp") is None
        operands = integers(spec, 4, 9, largest=3)
        assert_equal(answers(adapter, spec, operands, "float64"), golden(spec, operands), "float64", bias)
    overlapping = lcl.Spec(input_size=12, in_channels=2, out_channels=5, kernel_size=3, stride=2)
    assert "reshape" in adapter.declaration.capabilities.refusal(overlapping, "float64", "forward")
