"""Which plan is taken where, and the plan of few large products, by force on the processor."""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import lcl_ref as lcl
from lcl_backends.support import Capabilities
from lcl_backends.support.torch import WITH_COMPLEX, TorchLayer, declared
from lcl_ref.layers.engines import torch_memory, torch_thresholds
from lcl_ref.layers.engines import torch_products as products
from lcl_ref.layers.engines.accelerators import plans
from lcl_ref.layers.engines.accelerators.plans import Plan, jax_plan, plan_of, torch_plan, with_plan, without_plan
from lcl_ref.layers.engines.torch import local
from lcl_ref.layers.engines.torch_plan import plan_of as chunks_of
from tests.support.compiled_layers import assert_one_graph
from tests.support.engine_contract import EngineContract
from tests.support.layer_answers import golden, integers

SPEC = lcl.Spec(input_size=(14, 9), in_channels=4, out_channels=6, kernel_size=(5, 3), padding=1, groups=2)


class Large:
    """A backend: the plan of few large products."""

    declaration = declared(
        name="large",
        summary="Few large products.",
        layout="canonical",
        capabilities=Capabilities(channel_table=True, dtypes=WITH_COMPLEX),
    )

    def prepare(self, spec, weight, bias, dtype):
        text = with_plan(spec.to_json(), Plan.LARGE)
        return TorchLayer(spec, lambda _, *operands: local(text, *operands), weight, bias)


def set_large(monkeypatch, **numbers):
    monkeypatch.setattr(torch_thresholds, "LARGE", torch_thresholds.LARGE._replace(**numbers))


class TestLarge(EngineContract):
    adapter = Large()

    def make_tiles(self, monkeypatch, room):
        set_large(monkeypatch, small_bytes=0, tile_bytes=room, part_bytes=room)


@pytest.mark.parametrize(
    ("device", "is_complex", "triton", "plan"),
    [
        ("cpu", False, True, "tiles"),
        ("cuda", False, True, "fused"),
        ("cuda", True, True, "large"),
        ("cuda", False, False, "large"),
        ("xpu", False, True, "fused"),
        ("mps", False, True, "large"),
    ],
)
def test_the_plan_of_torch_follows_from_the_device(device, is_complex, triton, plan):
    assert torch_plan(device, is_complex=is_complex, triton=triton) == plan


def test_the_plan_of_jax_follows_from_the_platform():
    chosen = {
        (where, number): jax_plan(where, is_complex=number) for where in ("cpu", "gpu", "tpu") for number in (0, 1)
    }
    fused = {where for where, plan in chosen.items() if plan is Plan.FUSED}
    assert fused == {("gpu", 0)}
    assert {where for where, plan in chosen.items() if plan is Plan.TILES} == {("cpu", 0), ("cpu", 1)}


def test_a_plan_can_be_forced_everywhere(monkeypatch):
    monkeypatch.setattr(plans, "FORCED", "large")
    assert torch_plan("cpu", is_complex=False) is jax_plan("gpu", is_complex=False) is Plan.LARGE
    assert plans.room(1, 2, accelerated=False) == 2


@pytest.mark.parametrize("plan", Plan)
def test_a_layer_is_given_with_its_plan(plan):
    text = SPEC.to_json()
    assert (plan_of(with_plan(text, plan)), without_plan(with_plan(text, plan))) == (plan, text)


@pytest.mark.slow
# torch 2.13's tracer of autograd functions warns of what it does itself.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_the_plan_is_one_graph_under_the_compiler(monkeypatch):
    set_large(monkeypatch, small_bytes=0, tile_bytes=5000)
    assert_one_graph(SPEC, Plan.LARGE)


def test_products_are_few():
    """The windows of this layer are 1.1 GB: a few products, where tiles would be dozens."""
    layer = lcl.Spec(input_size=(64, 64), in_channels=32, out_channels=8, kernel_size=5, padding=2, bias="none")
    x = torch.empty(layer.x_shape(85), device="meta")
    counts = []
    for text in (with_plan(layer.to_json(), Plan.LARGE), layer.to_json()):
        chunks = chunks_of(text, "output", x, torch.float32).chunks
        counts.append(sum(1 for chunk in chunks for _ in chunk.tiles()))
    assert counts[0] <= 5
    assert counts[1] > 50


CONNECTED = lcl.Spec(
    input_size=5,
    in_channels=3,
    out_channels=4,
    kernel_size=2,
    padding=1,
    channel_table=((2, 0), (1, 0), (0, 2), (2, 1)),
)


class OnDevice(TorchDispatchMode):
    """Refuses what takes a tensor of the host, which would have to be sent, and waited for."""

    def __torch_dispatch__(self, function, types, given=(), named=None):
        devices = {tensor.device.type for tensor in tree_leaves((given, named)) if isinstance(tensor, torch.Tensor)}
        assert devices <= {"meta"}, function
        return function(*given, **named or {})


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("room", [20_000, 1 << 20])
@pytest.mark.parametrize("layer", [SPEC, CONNECTED])
def test_a_host_waits_for_nothing_once_a_layer_was_called(monkeypatch, layer, room, dtype):
    """Tensors without numbers stand in for a device: to read one is an error, as it has none."""
    set_large(monkeypatch, small_bytes=room, tile_bytes=room, part_bytes=room)
    shapes = layer.operand_shapes(3).values()
    *operands, dy = (torch.empty(shape, device="meta", dtype=dtype, requires_grad=True) for shape in shapes)
    local(layer.to_json(), *operands).backward(dy.detach())
    with OnDevice():
        local(layer.to_json(), *operands).backward(dy.detach())


class Sizes(TorchDispatchMode):
    """Notes the bytes of every piece of memory that operations of torch return."""

    def __init__(self):
        super().__init__()
        self.seen = {}

    def __torch_dispatch__(self, function, types, given=(), named=None):
        result = function(*given, **named or {})
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self.seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return result


@pytest.mark.parametrize("budget", [20_000, 60_000])
def test_memory_beside_operands_and_results_is_within_the_budget(monkeypatch, budget):
    """The windows of this layer take 115 kB, in as many products as the budget asks for; the answers stay the same."""
    layer = lcl.Spec(input_size=(14, 9), in_channels=4, out_channels=2, kernel_size=(5, 4), groups=2)
    operands, text = integers(layer, 6, 2, dtype="float32"), with_plan(layer.to_json(), Plan.LARGE)
    set_large(monkeypatch, small_bytes=0, tile_bytes=budget, part_bytes=budget)
    x, weight, bias, dy = (torch.tensor(array) for array in operands.values())
    expected = golden(layer, operands)
    results = {
        "y": lambda: products.output(text, x, weight, bias),
        "dx": lambda: products.input_gradient(text, dy, weight),
        "dw": lambda: products.weight_gradient(text, x, dy),
    }
    given = {tensor.untyped_storage().data_ptr() for tensor in (x, weight, bias, dy)}
    for name, make in results.items():
        torch_memory.scratch_of(x, x.dtype)._held.clear()
        with Sizes() as sizes:
            result = make()
        assert np.array_equal(result, expected[name]), name
        beside = sizes.seen.keys() - given - {result.untyped_storage().data_ptr()}
        assert max(sizes.seen[place] for place in beside) <= budget, name
