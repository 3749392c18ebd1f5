"""ONNX files: onnxruntime computes what the reference does, bit for bit on whole numbers."""

import numpy as np
import onnx
import onnxruntime
import pytest

import lcl_ref as lcl
from lcl_ref.files import convert_file, specs
from lcl_ref.files.contents import LocalLayer
from lcl_ref.files.export.onnx import OPSET

SPECS = {
    "line": lcl.Spec(input_size=7, in_channels=3, out_channels=4, kernel_size=3, stride=2, padding=[[1, 2]]),
    "image": lcl.Spec(
        input_size=(7, 6), in_channels=2, out_channels=3, kernel_size=(3, 2), stride=(2, 1), dilation=(2, 3)
    ),
    "volume": lcl.Spec(input_size=(4, 5, 3), in_channels=2, out_channels=3, kernel_size=2, bias="channel"),
    "groups": lcl.Spec(input_size=(5, 4), in_channels=4, out_channels=6, kernel_size=2, groups=2, bias="none"),
    "shared": lcl.Spec(input_size=(5, 4), in_channels=4, out_channels=6, kernel_size=2, groups=2, shared=(True, False)),
    "convolution": lcl.Spec(input_size=(5, 4), in_channels=2, out_channels=3, kernel_size=3, shared=True, padding=1),
    "table": lcl.Spec(
        input_size=5, in_channels=4, out_channels=3, kernel_size=2, channel_table=((0, 2), (1, 3), (3, 0))
    ),
    "sheets": lcl.Spec(
        input_size=(4, 5, 3), in_channels=4, out_channels=6, kernel_size=2, groups=2, shared=(True, False, False)
    ),
    "stripes": lcl.Spec(
        input_size=(4, 5, 3), in_channels=2, out_channels=3, kernel_size=2, shared=(False, True, False)
    ),
    "blocks": lcl.Spec(input_size=(), in_channels=6, out_channels=4, kernel_size=(), groups=2),
}


def numbers(seed, shape, dtype):
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(dtype)


def written(folder, layers, dtype):
    """Write layers as ``.npz`` with a description, and convert that; return the arrays."""
    arrays, found = {}, []
    for seed, (name, spec) in enumerate(layers.items()):
        arrays[f"{name}.w"] = numbers(seed, spec.weight_shape, dtype)
        bias = f"{name}.b" if spec.bias != "none" else ""
        if bias:
            arrays[bias] = numbers(seed + 50, spec.bias_shape, dtype)
        found.append(LocalLayer(name, "", spec, "canonical", f"{name}.w", bias))
    old = folder / "old.npz"
    np.savez(old, head=np.ones(2), **arrays)
    specs.beside(old).write_text(specs.document(old.name, found, (), ()))
    report = convert_file(old, folder / "new.onnx", source="stored", target="canonical")
    assert report.left == ("head",)
    return arrays


@pytest.mark.parametrize("name", SPECS)
def test_a_layer_of_every_kind_is_what_the_reference_computes(tmp_path, name):
    spec, dtype = SPECS[name], np.float64 if name == "image" else np.float32
    arrays = written(tmp_path, {name: spec}, dtype)
    session = onnxruntime.InferenceSession(tmp_path / "new.onnx", providers=["CPUExecutionProvider"])
    for batch in (1, 3):
        x = numbers(9, spec.x_shape(batch), dtype)
        (y,) = session.run(["y"], {"x": x})
        assert np.array_equal(y, lcl.forward(spec, x, arrays[f"{name}.w"], arrays.get(f"{name}.b")))
    model = onnx.load(tmp_path / "new.onnx")
    assert model.opset_import[0].version == OPSET
    held = {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}
    assert np.array_equal(held[f"{name}.w"], arrays[f"{name}.w"])


def test_several_layers_have_inputs_and_outputs_by_name(tmp_path):
    chosen = {name: SPECS[name] for name in ("line", "blocks")}
    arrays = written(tmp_path, chosen, np.float32)
    session = onnxruntime.InferenceSession(tmp_path / "new.onnx", providers=["CPUExecutionProvider"])
    given = {f"{name}.x": numbers(9, spec.x_shape(2), np.float32) for name, spec in chosen.items()}
    for name, y in zip(chosen, session.run([f"{name}.y" for name in chosen], given), strict=True):
        assert np.array_equal(
            y, lcl.forward(chosen[name], given[f"{name}.x"], arrays[f"{name}.w"], arrays[f"{name}.b"])
        )


def test_another_layout_or_type_has_no_place_in_a_graph(tmp_path):
    written(tmp_path, {"line": SPECS["line"]}, np.float32)
    with pytest.raises(lcl.FileError, match=r"--to canonical in an \.onnx file"):
        convert_file(tmp_path / "old.npz", tmp_path / "x.onnx", source="stored", target="flax/conv_local")
    with pytest.raises(lcl.FileError, match="dtype int64, expected float16, float32, float64"):
        written(tmp_path, {"line": SPECS["line"]}, np.int64)
