"""The torch modules: what users of torch expect of a layer, and the engine under them."""

import copy
import cProfile
import io
import json
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
import torch

import lcl_ref as lcl
from lcl_ref.core import reference
from lcl_ref.layers.engines import kept_memory, torch_thresholds
from lcl_ref.layers.engines import torch_products as products
from lcl_ref.layers.engines.torch import local
from lcl_ref.layers.engines.torch_plan import plan_of
from lcl_ref.layers.torch import BlockLinear, LocallyConnected1d, LocallyConnected2d, LocallyConnected3d
from tests.support.layer_answers import golden
from tests.support.marks import quick
from tests.support.paths import ROOT

LAYERS = {
    "1d": (LocallyConnected1d, (4, 6, 9, 3), {"stride": 2, "padding": 1}, (4, 9)),
    "2d": (LocallyConnected2d, (4, 6, (7, 6), (3, 2)), {"groups": 2, "padding": "same_upper"}, (4, 7, 6)),
    "2d dilated": (LocallyConnected2d, (2, 3, 8, 2), {"dilation": 3, "bias": "channel"}, (2, 8, 8)),
    "2d shared": (LocallyConnected2d, (2, 3, (5, 6), 2), {"shared": (True, False), "bias": False}, (2, 5, 6)),
    "3d": (LocallyConnected3d, (2, 3, (4, 3, 5), 2), {"padding": ((0, 1), (1, 0), (0, 0))}, (2, 4, 3, 5)),
    "block": (BlockLinear, (6, 9, 3), {}, (6,)),
    "large blocks": (BlockLinear, (48, 32, 2), {}, (48,)),
    "whole input": (LocallyConnected2d, (2, 16, (3, 4), (3, 4)), {"bias": False}, (2, 3, 4)),
}


def set_thresholds(monkeypatch, **numbers):
    """Choose by other thresholds for the time of a test."""
    monkeypatch.setattr(torch_thresholds, "THRESHOLDS", torch_thresholds.THRESHOLDS._replace(**numbers))


@pytest.fixture(autouse=True, params=["tiles", "small"])
def small_bytes(request, monkeypatch):
    """Layers of tests are small: each test runs on their own route, and on that of larger ones."""
    if request.param == "tiles":
        set_thresholds(monkeypatch, small_bytes=0)


def whole_numbers(*shape, dtype=torch.float64):
    """A tensor of small integers, on which every order of summation has the same bits."""
    return torch.randint(-3, 4, shape, dtype=dtype)


def made(name, dtype=torch.float64):
    """A layer with small integers as parameters, and an input of two samples."""
    torch.manual_seed(len(name))
    cls, arguments, settings, sample = LAYERS[name]
    layer = cls(*arguments, **settings, dtype=dtype)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(whole_numbers(*parameter.shape))
    return layer, whole_numbers(2, *sample, dtype=dtype)


def want(layer, x):
    """The reference's answer, channels first."""
    weight, bias = (None if tensor is None else tensor.numpy() for tensor in layer.canonical())
    return np.moveaxis(reference.forward(layer.spec, x.movedim(1, -1).numpy(), weight, bias), -1, 1)


@pytest.mark.parametrize("name", LAYERS)
def test_layer_computes_what_the_reference_does(name):
    layer, x = made(name)
    assert np.array_equal(layer(x).detach().numpy(), want(layer, x))
    assert np.array_equal(layer(x[0]).detach().numpy(), want(layer, x[:1])[0])
    assert layer(x[:0]).shape[0] == 0


@pytest.mark.parametrize("name", LAYERS)
def test_first_and_second_derivatives(name):
    layer, x = made(name)
    names = [key for key, _ in layer.named_parameters()]

    def call(x, *parameters):
        return torch.func.functional_call(layer, dict(zip(names, parameters, strict=True)), (x,))

    operands = [x.requires_grad_(), *(p.detach().requires_grad_() for p in layer.parameters())]
    assert torch.autograd.gradcheck(call, operands, fast_mode=True)
    assert torch.autograd.gradgradcheck(call, operands, fast_mode=True)


def test_third_derivative_of_a_cube():
    """Y**3 summed: third derivatives pass through every product's backward twice."""
    spec = lcl.Spec(input_size=3, in_channels=1, out_channels=1, kernel_size=3, bias="none")
    x = torch.tensor([[[1.0], [2.0], [3.0]]], dtype=torch.float64, requires_grad=True)
    weight = torch.ones(spec.weight_shape, dtype=torch.float64)
    total = (local(spec.to_json(), x, weight) ** 3).sum()
    for _ in range(3):
        (gradient,) = torch.autograd.grad(total, x, create_graph=True)
        total = gradient.sum()
    assert torch.equal(gradient, torch.full_like(x, 54.0))  # 3! * 3 * 3 directions


def test_vmap_and_gradients_per_sample():
    layer, x = made("2d")
    parameters = {key: value.detach() for key, value in layer.named_parameters()}

    def loss(parameters, sample):
        return torch.func.functional_call(layer, parameters, (sample,)).square().sum()

    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(parameters, x)
    layer(x).square().sum().backward()
    for key, parameter in layer.named_parameters():
        assert torch.equal(each[key].sum(0), parameter.grad)
        assert torch.equal(each[key][1], torch.func.grad(loss)(parameters, x[1])[key])


# torch 2.13's tracer of autograd functions warns of what it does itself.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize("name", quick(LAYERS, "2d", "block", "3d"))
def test_compiled_layer_is_one_graph_with_the_same_answers(name):
    layer, x = made(name)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    compiled(x).square().sum().backward()
    gradients = {key: parameter.grad.clone() for key, parameter in layer.named_parameters()}
    assert np.array_equal(compiled(x).detach().numpy(), want(layer, x))
    layer.zero_grad()
    layer(x).square().sum().backward()
    assert all(torch.equal(gradients[key], parameter.grad) for key, parameter in layer.named_parameters())


def test_operators_follow_the_rules_of_torch():
    layer, x = made("2d")
    x, weight, text = x.movedim(1, -1).contiguous(), layer.weight.detach(), layer.spec.to_json()
    dy = local(text, x, weight).detach()
    checks = {"output": (x, weight, None), "input_cotangent": (dy, weight), "weight_cotangent": (x, dy)}
    for name, operands in checks.items():
        assert set(torch.library.opcheck(getattr(torch.ops.lcl, name).default, (*operands, text)).values()) == {
            "SUCCESS"
        }


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_computes_in_its_dtype_and_keeps_the_parameters_gradients(dtype):
    layer, x = made("2d", torch.float32)
    with torch.autocast("cpu", dtype):
        y = layer(x)
    assert y.dtype == dtype
    assert np.array_equal(y.detach().float().numpy(), want(layer, x))
    y.float().sum().backward()
    assert layer.weight.grad.dtype == torch.float32


@pytest.mark.parametrize("name", quick(LAYERS, every=3))
def test_exported_program_needs_nothing_of_this_package(name):
    layer, x = made(name)
    program = torch.export.export(layer, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    assert not any("lcl" in str(node.target) for node in program.graph.nodes)
    more = torch.cat([x, 2 * x, x - 1])
    assert np.array_equal(program.module()(more).detach().numpy(), want(layer, more))
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    buffer.seek(0)
    assert torch.equal(torch.export.load(buffer).module()(x), layer(x))


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")  # of torch about torch
@pytest.mark.parametrize("name", quick(LAYERS, "2d"))
def test_onnx_file_gives_the_same_answers_in_onnxruntime(name, tmp_path):
    layer, x = made(name, torch.float32)
    torch.onnx.export(
        layer.eval(), (x,), tmp_path / "layer.onnx", dynamic_shapes=({0: torch.export.Dim("batch")},), verbose=False
    )
    session = onnxruntime.InferenceSession(tmp_path / "layer.onnx")
    more = torch.cat([x, 2 * x, x - 1])
    (answer,) = session.run(None, {session.get_inputs()[0].name: more.numpy()})
    assert np.array_equal(answer, want(layer, more))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")  # of torch about itself
def test_a_script_is_refused_in_one_sentence_and_a_trace_works():
    layer, x = made("2d")
    for model in (layer, torch.nn.Sequential(layer)):
        with pytest.raises(
            TypeError, match=r"LocallyConnected2d cannot be compiled by torch.jit.script.*torch.jit.trace"
        ):
            torch.jit.script(model)
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(layer, x), buffer)
    buffer.seek(0)
    more = torch.cat([x, x + 1])
    assert torch.equal(torch.jit.load(buffer)(more), layer(more))


def test_state_dict_is_stable_and_travels():
    layer, x = made("2d")
    state = layer.state_dict()
    assert {key: tuple(value.shape) for key, value in state.items()} == {
        "weight": (7, 6, 3, 2, 2, 6),
        "bias": (7, 6, 6),
    }
    fresh = LocallyConnected2d(*LAYERS["2d"][1], **LAYERS["2d"][2], dtype=torch.float64)
    assert not torch.equal(fresh(x), layer(x))
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    fresh.load_state_dict(torch.load(buffer, weights_only=True))
    assert torch.equal(fresh(x), layer(x))
    assert torch.equal(copy.deepcopy(layer)(x), layer(x))


@pytest.mark.parametrize("name", LAYERS)
def test_canonical_weights_in_and_out(name):
    layer, x = made(name)
    weight, bias = layer.canonical()
    twin = type(layer).from_canonical(layer.spec, weight.numpy(), None if bias is None else bias.numpy())
    assert torch.equal(twin(x), layer(x))
    assert twin.weight.data_ptr() != weight.data_ptr()
    assert twin.extra_repr() == layer.extra_repr()


def test_initial_weights_are_bounded_by_the_inputs_one_output_sums():
    torch.manual_seed(0)
    layer = LocallyConnected2d(3, 4, 20, 5)
    bound = (3 * 5 * 5) ** -0.5
    for parameter in layer.parameters():
        assert parameter.abs().max() <= bound
        assert parameter.abs().max() > 0.99 * bound


def test_repr_reads_like_torch():
    assert repr(LocallyConnected2d(4, 6, (7, 6), 3, stride=2, padding=1)) == (
        "LocallyConnected2d(4, 6, input_size=(7, 6), kernel_size=(3, 3), stride=(2, 2), padding=((1, 1), (1, 1)))"
    )
    assert repr(BlockLinear(6, 9, 3, bias=False)) == "BlockLinear(6, 9, groups=3, bias='none')"


def test_errors_say_what_was_expected():
    with pytest.raises(lcl.SpecError, match="output"):
        LocallyConnected1d(2, 3, 4, 5)
    with pytest.raises(lcl.SpecError, match="groups"):
        BlockLinear(7, 9, 3)
    with pytest.raises(lcl.SpecError, match="2 spatial axes"):
        LocallyConnected2d(2, 3, (4, 4, 4), 2)
    layer, x = made("2d")
    with pytest.raises(lcl.ShapeError, match=r"shape \(2, 4, 6, 7\).*\(n, 4, 7, 6\)"):
        layer(x.transpose(2, 3))
    with pytest.raises(lcl.ShapeError, match=r"\(\*, 6\)"):
        made("block")[0](torch.zeros(2, 5))
    with pytest.raises(lcl.ShapeError, match=r"\(1, 2\)"):
        LocallyConnected2d.from_canonical(layer.spec, torch.zeros(1, 2))


def test_working_memory_does_not_grow_with_the_windows(monkeypatch):
    """What autograd and the engine allocate at a time, beside operands, results and gradients."""
    monkeypatch.setattr(kept_memory, "SERVES", False)  # of which the profiler knows nothing
    spec = lcl.Spec(input_size=(96, 96), in_channels=8, out_channels=2, kernel_size=7)
    x, weight = torch.randn(spec.x_shape(16)), torch.randn(spec.weight_shape)
    dy = torch.randn(spec.y_shape(16))
    windows = 16 * 90 * 90 * spec.fan_in * 4
    limit = max(16 << 20, weight.nbytes // 10)
    assert windows > 10 * limit
    text = spec.to_json()
    calls = {
        "y": (lambda: products.output(text, x, weight, None), dy.nbytes),
        "dx": (lambda: products.input_gradient(text, dy, weight), x.nbytes),
        "dw": (lambda: products.weight_gradient(text, x, dy), weight.nbytes),
    }
    for name, (call, result) in calls.items():
        with torch.profiler.profile(profile_memory=True) as profile:
            call()
        assert peak_bytes(profile) - result <= limit, name


def peak_bytes(profile):
    """The largest sum of live allocations over the profiled time."""
    held, peak = 0, 0
    for event in sorted(profile.profiler.kineto_results.events(), key=lambda event: event.start_ns()):
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    assert peak > 0
    return peak


def test_strips_and_parts_cover_what_is_laid_out(monkeypatch):
    """A tall input is laid out in strips of rows, each of which sees the sites of its positions."""
    set_thresholds(monkeypatch, part_bytes=40_000)
    spec = lcl.Spec(input_size=(60, 5), in_channels=3, out_channels=2, kernel_size=(5, 3), padding=2, stride=(2, 1))
    text, x = spec.to_json(), whole_numbers(*spec.x_shape(16))
    chunks = plan_of(text, "output", x.float(), torch.float32).chunks
    assert len(chunks) > 1
    assert [chunk.positions.stop for chunk in chunks[:-1]] == [chunk.positions.start for chunk in chunks[1:]]
    assert (chunks[0].positions.start, chunks[-1].positions.stop) == (0, spec.output_size[0])
    for chunk in chunks:
        assert chunk.route.spec.output_size[0] == chunk.positions.stop - chunk.positions.start
        assert np.prod(chunk.route.padded_layout) * 16 * 4 <= 40_000
    weight, bias, dy = (whole_numbers(*shape) for shape in (spec.weight_shape, spec.bias_shape, spec.y_shape(16)))
    expected = golden(spec, {"x": x.numpy(), "weight": weight.numpy(), "bias": bias.numpy(), "dy": dy.numpy()})
    assert np.array_equal(products.output(text, x, weight, bias), expected["y"])
    assert np.array_equal(products.input_gradient(text, dy, weight), expected["dx"])
    assert np.array_equal(products.weight_gradient(text, x, dy), expected["dw"])


def test_a_plan_is_made_once(monkeypatch):
    """Strips and parts among it: a second call, and a backward pass, take what the first one made."""
    set_thresholds(monkeypatch, part_bytes=40_000)
    spec = lcl.Spec(input_size=(60, 5), in_channels=3, out_channels=2, kernel_size=(5, 3), padding=2)
    text = spec.to_json()
    x, weight = torch.zeros(spec.x_shape(16), requires_grad=True), torch.zeros(spec.weight_shape, requires_grad=True)

    def step():
        local(text, x, weight).sum().backward()

    step()
    made = calls_of(step, "Spec.__init__", "Route.__init__", "_plan", "_slices")
    assert not made


def calls_of(work, *names):
    """How often Python functions of such names run."""
    profile = cProfile.Profile()
    profile.runcall(work)
    return [entry for entry in profile.getstats() if getattr(entry.code, "co_qualname", None) in names]


def test_gradients_whose_memory_is_not_in_order():
    """Torch hands over expanded gradients, and such as lie channels first: products take neither without a copy."""
    layer, x = made("2d")
    x.requires_grad_()
    operands = (x, *layer.parameters())
    for weights in (torch.ones(1).double().expand(2, 6, *layer.spec.output_size), whole_numbers(2, 6, 7, 6)):
        found = torch.autograd.grad(layer(x), operands, weights)
        want = torch.autograd.grad(layer(x), operands, weights.contiguous(memory_format=torch.channels_last))
        assert all(map(torch.equal, found, want))


def test_inference_mode_leaves_nothing_behind_that_cannot_be_written_to():
    layer, x = made("2d", torch.float64)
    with torch.inference_mode():
        layer(x)
    layer(x).sum().backward()
    assert layer.weight.grad is not None


@pytest.mark.slow
def test_a_layer_trains_whose_windows_do_not_fit():
    script = ROOT / "benchmarks" / "large_layer.py"
    words = ["--size=128", "--channels=32", "--outputs=2", "--kernel=9", "--batch=16", "--steps=2"]
    words += ["--child", "alone", "0"]
    done = subprocess.run([sys.executable, script, *words], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["all windows GB"] > 2.3
    held = 2 * found["weights GB"] + found["input GB"] + found["of it, Python and torch GB"]
    assert found["peak GB"] <= held + 0.2
    assert found["losses"][1] < found["losses"][0]
