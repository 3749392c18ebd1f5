"""A model of DeepFace's size, over 100 million weights: time and memory of a conversion, and of its proof."""

import json

import h5py
import numpy as np
import pytest

import lcl_ref as lcl
from lcl_ref.files import convert_file, open_weights
from tests.support.programs import python

LAYERS = {  # input size, kernel, stride; 16 -> 16 channels each
    "L4": (63, 9, 1),
    "L5": (55, 7, 2),
    "L6": (25, 5, 1),
}
DENSE = {"F7": (7056, 4096), "F8": (4096, 8631)}
SECONDS, TIMES_SIZE = 30, 2.2

CONVERT = """
import json, os, resource, sys
from pathlib import Path
from lcl_ref.files import convert_file
from lcl_ref.bench.child import resident
convert_file(Path(sys.argv[1]), Path(sys.argv[2]), source="stored", target=sys.argv[3])
own, of_others = (resource.getrusage(who).ru_maxrss * 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
peak = (resident("VmHWM") or own) + of_others  # on Linux `ru_maxrss` begins with that of whoever started the process
print(json.dumps([sum(os.times()[:4]), peak]))  # of the processor, children's included
"""


def spec(name):
    size, kernel, stride = LAYERS[name]
    return lcl.Spec(input_size=(size, size), in_channels=16, out_channels=16, kernel_size=kernel, stride=stride)


@pytest.fixture(scope="module")
def deepface(tmp_path_factory):
    """Write a whole-model file as Keras does, with the layers behind L4's input."""
    path = tmp_path_factory.mktemp("deepface") / "deepface.h5"
    layers = [{"class_name": "InputLayer", "config": {"name": "in", "batch_input_shape": [None, 63, 63, 16]}}]
    draw = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        weights = file.create_group("model_weights")
        for name, (_, kernel, stride) in LAYERS.items():
            settings = {"filters": 16, "kernel_size": [kernel, kernel], "strides": [stride, stride]}
            layers.append({"class_name": "LocallyConnected2D", "config": {"name": name, **settings}})
            layout = "keras2/impl1/channels_last"
            shape = lcl.layouts.weight_shape(layout, spec(name))
            weights[f"{name}/{name}/kernel:0"] = draw.standard_normal(shape, np.float32)
            weights[f"{name}/{name}/bias:0"] = draw.standard_normal(spec(name).bias_shape, np.float32)
        layers.append({"class_name": "Flatten", "config": {"name": "flat"}})
        for name, shape in DENSE.items():
            layers.append({"class_name": "Dense", "config": {"name": name, "units": shape[1]}})
            weights[f"{name}/{name}/kernel:0"] = draw.standard_normal(shape, np.float32)
        config = {"class_name": "Sequential", "config": {"name": "deepface", "layers": layers}}
        file.attrs["model_config"] = json.dumps(config)
    yield path
    path.unlink()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("new.safetensors", "flax/conv_local"),
        ("new.npz", "torch/unfold"),
        ("new.h5", "keras2/impl3/channels_last"),
    ],
)
def test_time_and_memory(deepface, name, target):
    size, out = deepface.stat().st_size, deepface.with_name(name)
    assert size > 4 * 100_000_000
    done = python("-c", CONVERT, deepface, out, target, check=True)
    seconds, peak = json.loads(done.stdout)
    with open_weights(out) as file:
        assert [layer.name for layer in file.layers] == list(LAYERS)
        assert [layer.spec for layer in file.layers] == [spec(layer) for layer in LAYERS]
    out.unlink()
    assert seconds < SECONDS
    assert peak < TIMES_SIZE * size


VERIFY = """
import json, resource, sys
from pathlib import Path
from lcl_ref.suite.port_check.verify import verify_port
from lcl_ref.bench.child import resident
findings = verify_port(Path(sys.argv[1]), Path(sys.argv[2]), "torch.layer")
used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
seconds = sum(usage.ru_utime + usage.ru_stime for usage in used)
states = [finding.state for finding in findings]
print(json.dumps([states, seconds, resident("VmHWM") or used[0].ru_maxrss * 1024]))
"""


@pytest.mark.slow
def test_a_port_is_verified_in_a_minute_of_processor_time(deepface):
    """Forward and gradient of 73 million weights, in the old layer and in the new one, against proved limits."""
    out = deepface.with_name("new.safetensors")
    convert_file(deepface, out, source="stored", target="canonical")
    done = python("-c", VERIFY, deepface, out, check=True)
    states, seconds, peak = json.loads(done.stdout)
    out.unlink()
    assert states == ["pass"] * 15
    assert seconds < 60
    assert peak < 6 * deepface.stat().st_size
