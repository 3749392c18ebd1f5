"""The engine of torch: what all engines owe, and what it multiplies: windows that share a copy, blocks, strips."""

import numpy as np
import pytest
import torch

import lcl_ref as lcl
from lcl_backends.torch.fast import Adapter
from lcl_ref.layers.engines import torch as torch_engine
from lcl_ref.layers.engines import torch_kernel
from lcl_ref.layers.engines import torch_products as products
from lcl_ref.layers.engines.torch import local
from lcl_ref.layers.engines.torch_batches import stacked_windows
from lcl_ref.layers.engines.torch_memory import Scratch
from lcl_ref.layers.engines.torch_plan import plan_of
from lcl_ref.layers.engines.torch_route import route_of
from lcl_ref.layers.engines.torch_thresholds import THRESHOLDS
from tests.layers.test_torch import set_thresholds
from tests.support.engine_contract import EngineContract
from tests.support.layer_answers import golden, integers
from tests.support.marks import quick


@pytest.fixture(autouse=True)
def without_kernel(monkeypatch):
    """The engine as it is where the compiled kernel is not installed; `test_kernel.py` and the matrix have it."""
    monkeypatch.setattr(torch_kernel, "layer_of", lambda _: None)
    monkeypatch.setattr(torch_engine, "layer_of", lambda _: None)


class TestContract(EngineContract):
    adapter, layers = Adapter(), 40

    def make_tiles(self, monkeypatch, room):
        set_thresholds(monkeypatch, small_bytes=0, tile_bytes=room, part_bytes=room)


def layer(input_size, in_channels, out_channels, kernel_size, **settings):
    """A layer, in the order of torch's arguments."""
    sizes = {"input_size": input_size, "kernel_size": kernel_size}
    return lcl.Spec(in_channels=in_channels, out_channels=out_channels, **sizes, **settings)


OVERLAPPING = {
    "as it lies": layer((14, 9), 16, 16, (5, 3)),
    "batch last": layer((14, 9), 2, 3, (5, 3)),
    "stride, padding": layer((13, 9), 24, 4, 3, stride=2, padding=1),
    "groups": layer((9, 6), 4, 6, (4, 2), groups=2),
    "connections": layer((9, 6), 4, 3, (4, 2), channel_table=((3, 0), (1, 2), (0, 1))),
    "shared": layer((9, 6), 16, 2, 3, shared=(False, True)),
    "volume": layer((7, 4, 5), 3, 2, (4, 2, 3)),
    "volume, shared": layer((7, 4, 5), 3, 2, (4, 2, 3), shared=(False, True, False), dilation=(1, 2, 1)),
}


def tensors(operands):
    """The operands as tensors: x, weight, bias and dy."""
    return [None if array is None else torch.tensor(array) for array in operands.values()]


@pytest.mark.parametrize("room", quick([4 << 20, 20_000, 2_000], 20_000))
@pytest.mark.parametrize("spec", OVERLAPPING.values(), ids=OVERLAPPING)
def test_rows_that_windows_share_give_the_same_answers(monkeypatch, spec, room):
    set_thresholds(monkeypatch, tile_bytes=room)
    text, operands = spec.to_json(), integers(spec, 3, room, largest=3)
    assert route_of(text).rows_overlap
    x, weight, bias, dy = tensors(operands)
    expected = golden(spec, operands)
    assert np.array_equal(products.output(text, x, weight, bias), expected["y"])
    assert np.array_equal(products.weight_gradient(text, x, dy), expected["dw"])
    assert np.array_equal(products.input_gradient(text, dy, weight), expected["dx"])
    many = integers(spec, THRESHOLDS.thin, room, largest=3)  # so many samples are summed with the batch last
    _, weight, _, dy = tensors(many)
    assert np.array_equal(products.input_gradient(text, dy, weight), golden(spec, many)["dx"])


@pytest.mark.parametrize("name", ["as it lies", "batch last", "volume, shared"])
def test_windows_of_a_tile_share_what_they_overlap(name):
    """The matrices of the next row of positions begin a stride of sites later in memory, not a window later."""
    spec = OVERLAPPING[name]
    route = route_of(spec.to_json())
    view = torch.zeros(spec.x_shape(5)).movedim(0, -1)
    view = view if not route.batch_last else view.contiguous()
    windows = products._windows(route, view)
    stack = stacked_windows(route, windows, Scratch(view, view.dtype), samples_last=route.batch_last)
    assert len(stack) == spec.output_size[0]
    tied = np.prod([spec.output_size[axis] for axis in route.tied], dtype=int)
    site = spec.fan_in // spec.kernel_size[0] * (5 * tied if route.batch_last else 1)
    assert stack.stride(0) == spec.stride[0] * site


@pytest.mark.parametrize("outputs", [3 * 5, 3 * 16])
@pytest.mark.parametrize("bias", ["position", "none"])
def test_blocks_are_one_product_whichever_way_round(monkeypatch, outputs, bias):
    set_thresholds(monkeypatch, small_bytes=0)
    spec = layer((), 3 * 20, outputs, (), groups=3, bias=bias)
    assert route_of(spec.to_json()).one_product
    operands = integers(spec, 7, 1, largest=3)
    x, weight, offsets, dy = tensors(operands)
    leaves = [tensor.requires_grad_() for tensor in (x, weight, offsets) if tensor is not None]
    y = local(spec.to_json(), x, weight, offsets)
    assert y.is_contiguous()
    found = [y.detach(), *torch.autograd.grad(y, leaves, dy)]
    expected = golden(spec, operands)
    assert all(np.array_equal(got, expected[key]) for got, key in zip(found, ("y", "dx", "dw", "db"), strict=False))


def test_strips_that_lie_ready_add_to_one_another(monkeypatch):
    """A strip of one sample without padding could be written in place, but its sites are its neighbours' too."""
    set_thresholds(monkeypatch, part_bytes=1000)
    spec = layer((12, 5), 16, 2, (5, 3), padding=((0, 1), (0, 0)))
    operands = integers(spec, 1, 0, largest=3)
    x, weight, _, dy = tensors(operands)
    chunks = plan_of(spec.to_json(), "output", x, weight.dtype).chunks
    assert len(chunks) > 2
    assert [chunk.in_place for chunk in chunks] == [True] * (len(chunks) - 1) + [False]
    assert np.array_equal(products.input_gradient(spec.to_json(), dy, weight), golden(spec, operands)["dx"])


def test_an_input_that_lies_ready_is_neither_cut_nor_copied(monkeypatch):
    set_thresholds(monkeypatch, part_bytes=1000)
    spec = layer((12, 5), 16, 2, (5, 3))
    text, x = spec.to_json(), torch.zeros(spec.x_shape(40))
    (chunk,) = plan_of(text, "output", x, x.dtype).chunks
    assert products._padded(chunk, x, Scratch(x, x.dtype)).data_ptr() == x.data_ptr()
    assert len(plan_of(text, "output", x.bfloat16(), torch.bfloat16).chunks) > 1
