"""The adapters on tf_keras, TensorFlow and Keras 3: the traps of their layouts, and equality with the reference.

tf_keras and TensorFlow run here; Keras 3 fixes its backend at its first import, so each backend has its own process.
"""

import operator
import os
import subprocess
import sys

import numpy as np
import pytest

import lcl_ref as lcl
from lcl_backends.keras import local
from lcl_backends.support import tensorflow
from lcl_backends.tensorflow import patches
from lcl_ref.core.geometry import connections
from lcl_ref.suite.formats import DTYPES
from tests.support.adapter_contract import AdapterContract
from tests.support.layer_answers import integers, random_spec

LOCALS = [
    *(local.Local1, local.Local2, local.Local3),
    *(local.Local1ChannelsFirst, local.Local2ChannelsFirst, local.Local3ChannelsFirst),
]
VALID_1D = {"input_size": 8, "in_channels": 3, "out_channels": 2, "kernel_size": 4, "stride": 3}
VALID_2D = {"input_size": (7, 6), "in_channels": 3, "out_channels": 5, "kernel_size": (3, 2), "stride": (2, 1)}
LOCAL_SPECS = {
    "1d": VALID_1D,
    "2d": VALID_2D,
    "1d-same": VALID_1D | {"padding": "same_keras_local"},
    "2d-same": VALID_2D | {"padding": "same_keras_local", "kernel_size": (3, 4), "stride": (2, 3)},
}


class TestContract(AdapterContract):
    adapters, frameworks, layers = (*(kind() for kind in LOCALS), patches.Adapter()), ("tensorflow", "tf_keras"), 3

    def make(self, adapter, draw):
        """Of the published layers one of rank 1 or 2 with either padding, from one channel and one position on."""
        if type(adapter) is patches.Adapter:
            return random_spec(draw)
        rank = int(draw.integers(1, 3))
        sizes = {"in_channels": int(draw.integers(1, 4)), "out_channels": int(draw.integers(1, 4))}
        sizes |= {"input_size": draw.integers(1, 8, rank).tolist(), "kernel_size": draw.integers(1, 4, rank).tolist()}
        padding, bias = (words[draw.integers(2)] for words in (("valid", "same_keras_local"), ("none", "position")))
        fits = padding != "valid" or all(map(operator.le, sizes["kernel_size"], sizes["input_size"]))
        settings = {"stride": draw.integers(1, 5, rank).tolist(), "padding": padding, "bias": bias}
        return lcl.Spec(**sizes, **settings) if fits else self.make(adapter, draw)

    def test_padding_alone_is_refused_and_by_the_first_implementation_alone(self, adapter):
        draw, declared = np.random.default_rng(0), adapter.declaration
        for spec in (self.make(adapter, draw) for _ in range(10 * self.layers)):
            if declared.capabilities.refusal(spec, "float32", "forward") is not None:
                assert any(map(any, spec.padding)), spec.to_json()
                assert "impl1" in declared.layout


def to_layout(name, spec, weight, bias):
    return lcl.layouts.convert(spec, weight, bias, source="canonical", target=name)


def from_layout(name, spec, kernel, bias):
    return lcl.layouts.convert(spec, kernel, bias, source=name, target="canonical")


def drawn(spec, dtype="float32"):
    """Operands x, weight, bias, dy of small integers."""
    return [array.copy() for array in integers(spec, 2, 0, dtype, largest=2).values()]


def run(code, *, merge=False, **environment):
    """Run `code` in a fresh Python; return its standard output, and its standard error too where `merge`."""
    ours = ("KERAS_BACKEND", *tensorflow.ENVIRONMENT)
    clean = {name: value for name, value in os.environ.items() if name not in ours}
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=clean | environment, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr * merge


# What the published layers do, without the adapters' conversions


def keras_layer(spec, **arguments):
    layers = tensorflow.load_keras2().layers
    kind = (layers.LocallyConnected1D, layers.LocallyConnected2D)[spec.rank - 1]
    layer = kind(spec.out_channels, spec.kernel_size, strides=spec.stride, **arguments)
    first = arguments.get("data_format") == "channels_first"
    layer.build((None, spec.in_channels, *spec.input_size) if first else (None, *spec.input_size, spec.in_channels))
    return layer


@pytest.mark.parametrize("implementation", [1, 2, 3])
@pytest.mark.parametrize("name", ["1d", "2d"])
def test_channels_first_bias_variable_is_added_in_memory_order(name, implementation):
    spec = lcl.Spec(**LOCAL_SPECS[name])
    layer = keras_layer(spec, data_format="channels_first", implementation=implementation)
    held = np.arange(np.prod(spec.bias_shape), dtype=np.float32).reshape(spec.bias_shape)
    layer.set_weights([np.zeros(layer.get_weights()[0].shape), held])
    x = np.zeros((1, spec.in_channels, *spec.input_size), np.float32)
    np.testing.assert_array_equal(np.asarray(layer(x))[0], held.reshape(spec.out_channels, *spec.output_size))


@pytest.mark.parametrize(
    ("size", "kernel_size", "stride", "lo"), [(8, 3, 2, 1), (8, 4, 1, 2), (9, 5, 3, 2), (7, 2, 4, 1)]
)
@pytest.mark.parametrize("implementation", [2, 3])
def test_same_pads_half_the_kernel_whatever_the_stride(implementation, size, kernel_size, stride, lo):
    settings = {"kernel_size": kernel_size, "stride": stride, "padding": "same_keras_local", "bias": "none"}
    spec = lcl.Spec(input_size=size, in_channels=1, out_channels=1, **settings)
    layer = keras_layer(spec, padding="same", implementation=implementation, use_bias=False, kernel_initializer="ones")
    x = 2.0 ** np.arange(size, dtype=np.float32)  # each output names the sites it sums
    windows = [
        range(max(o * stride - lo, 0), min(o * stride - lo + kernel_size, size)) for o in range(-(-size // stride))
    ]
    expected = [sum(x[i] for i in window) for window in windows]
    np.testing.assert_array_equal(np.asarray(layer(x[None, :, None])).ravel(), expected)
    ones = np.ones(spec.weight_shape, np.float32)
    np.testing.assert_array_equal(lcl.forward(spec, x[None, :, None], ones, None).ravel(), expected)


def test_same_of_tensorflow_convolutions_is_another_rule():
    local, upper = (
        lcl.Spec(**VALID_1D | {"kernel_size": 3, "stride": 2, "padding": rule})
        for rule in ("same_keras_local", "same_upper")
    )
    assert (local.padding, upper.padding) == (((1, 0),), ((0, 1),))
    assert local.output_size == upper.output_size
    refused = [kind for kind in LOCALS if kind.declaration.capabilities.refusal(upper, "float32", "forward")]
    assert refused == LOCALS


@pytest.mark.parametrize("kind", [local.Local1, local.Local1ChannelsFirst])
def test_the_other_patch_order_has_the_same_shape_and_other_numbers(kind):
    spec = lcl.Spec(**VALID_2D)
    x, weight, bias, _ = drawn(spec)
    layout = kind.declaration.layout
    other = layout.replace("last", "first") if layout.endswith("last") else layout.replace("first", "last")
    right, wrong = (to_layout(name, spec, weight, bias)[0] for name in (layout, other))
    assert right.shape == wrong.shape
    misread, _ = from_layout(layout, spec, wrong, bias)
    assert not np.array_equal(lcl.forward(spec, x, misread, bias), lcl.forward(spec, x, weight, bias))
    layer = kind().prepare(spec, weight, bias, "float32")
    layer.layer.set_weights([wrong, layer.layer.get_weights()[1]])
    np.testing.assert_array_equal(layer.forward(x), lcl.forward(spec, x, misread, bias))


@pytest.mark.parametrize("name", ["1d-same", "2d-same"])
@pytest.mark.parametrize("kind", [local.Local3, local.Local3ChannelsFirst])
def test_sparse_kernel_has_no_dead_taps(kind, name):
    spec = lcl.Spec(**LOCAL_SPECS[name])
    x, weight, bias, dy = drawn(spec)
    assert (weight == 0).any()  # a live weight of 0 is stored like any other
    layer = kind().prepare(spec, weight, bias, "float32")
    assert layer.layer.get_weights()[0].shape == (spec.connection_count,)
    assert spec.connection_count < weight.size
    _, dw, _ = layer.vjp(x, dy)
    live = np.zeros(weight.shape, bool)
    for o, k, _ in connections(spec):
        live[*o, *k] = True
    assert not dw[~live].any()
    assert dw[live].any()


# Capabilities


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", [local.Local2, local.Local2ChannelsFirst])
def test_dense_implementation_leaks_in_two_dtypes_and_skips_in_two(kind, dtype):
    spec = lcl.Spec(**VALID_2D)
    x, weight, bias, _ = drawn(spec, dtype)
    weight = np.where(weight == 0, weight + 1, weight)
    x[0, 0, 0, 1], x[1, 4, 2, 0] = np.inf, np.nan
    got = np.asarray(kind().prepare(spec, weight, bias, dtype).forward(x)).astype(float)
    expected = lcl.forward(spec, x, weight, bias).astype(float)
    leaked = ~np.isfinite(got) & np.isfinite(expected)
    assert leaked.any() == (dtype in ("float16", "float64"))
    assert np.array_equal(got[~leaked], expected[~leaked], equal_nan=True)


@pytest.mark.parametrize("kind", LOCALS)
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"dilation": (1, 2)}, "no dilation argument"),
        ({"groups": 3, "out_channels": 6}, "no groups argument"),
        ({"shared": (True, False)}, "no two positions"),
        ({"bias": "channel"}, "one element per position and channel"),
        ({"padding": 2}, "'valid'"),
        ({"channel_table": ((0, 1),) * 5}, "reads all input channels"),
        ({"input_size": (7, 6, 5), "kernel_size": 2, "stride": 1}, "LocallyConnected1D and LocallyConnected2D only"),
    ],
)
def test_refusals_say_why(kind, change, reason):
    assert reason in kind.declaration.capabilities.refusal(lcl.Spec(**VALID_2D | change), "float32", "forward")


# What the adapters leave behind in a process


def test_declarations_need_no_framework():
    code = """
import sys
from lcl_backends.keras import local
from lcl_backends.keras3 import patches as keras3_patches
from lcl_backends.tensorflow import patches as tensorflow_patches
print(sorted({"tensorflow", "tf_keras", "keras", "jax", "torch"} & set(sys.modules)))
"""
    assert run(code) == "[]\n"


@pytest.mark.slow
def test_tensorflow_takes_the_threads_it_is_given():
    code = """
import os
import sys
from lcl_backends.support import tensorflow
tf = tensorflow.load()
tensorflow.load_keras2()
print(tf.config.threading.get_intra_op_parallelism_threads(), tf.config.threading.get_inter_op_parallelism_threads())
print("keras" in sys.modules, set({names!r}) & set(os.environ))
"""
    names = [*tensorflow.ENVIRONMENT]
    assert run(code.format(names=names), OMP_NUM_THREADS="1").splitlines() == ["1 1", "False set()"]


@pytest.mark.slow
def test_tensorflow_starts_and_runs_without_notices():
    code = """
import numpy as np
import lcl_ref as lcl
from lcl_backends.keras import local
spec = lcl.Spec(input_size=3, in_channels=1, out_channels=1, kernel_size=2)
layer = local.Local2().prepare(spec, np.ones((2, 2, 1, 1)), np.ones((2, 1)), "float64")
layer.vjp(np.ones((1, 3, 1)), np.ones((1, 2, 1)))
"""
    assert run(code, merge=True) == ""


@pytest.mark.slow
def test_keras_on_another_backend_is_refused():
    code = """
import os
import numpy as np
import lcl_ref as lcl
from lcl_backends.keras3 import patches as keras3_patches
spec = lcl.Spec(input_size=3, in_channels=1, out_channels=1, kernel_size=2, bias="none")
weight = np.ones(spec.weight_shape, np.float32)
keras3_patches.OnJax().prepare(spec, weight, None, "float32")
print(os.environ["KERAS_BACKEND"])
try:
    keras3_patches.OnTorch().prepare(spec, weight, None, "float32")
except lcl.AdapterError as error:
    print(error)
"""
    backend, message = run(code, KERAS_BACKEND="torch").splitlines()
    assert backend == "torch"
    assert "got Keras already imported on 'jax', expected 'torch'" in message
    assert "process of its own" in message


@pytest.mark.slow
def test_float64_on_jax_leaves_the_process_as_it_was():
    code = """
import jax
import numpy as np
import lcl_ref as lcl
from lcl_backends.keras3 import patches as keras3_patches
spec = lcl.Spec(input_size=4, in_channels=1, out_channels=1, kernel_size=2)
weight, bias, x = np.full(spec.weight_shape, 1 / 3), np.ones(spec.bias_shape), np.ones((2, 4, 1))
layer = keras3_patches.OnJax().prepare(spec, weight, bias, "float64")
answers = [layer.forward(x), *layer.vjp(x, np.ones((2, 3, 1))), layer.transpose(np.ones((2, 3, 1)))]
print({str(answer.dtype) for answer in answers}, np.asarray(answers[0])[0, 0, 0] == 1 + 2 * (1 / 3))
print(jax.config.jax_enable_x64, jax.numpy.ones(1).dtype)
"""
    assert run(code).splitlines() == ["{'float64'} True", "False float32"]
