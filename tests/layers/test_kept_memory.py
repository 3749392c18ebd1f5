"""What a large result leaves is used by the next one of its size, and by nothing while it is in use."""

import gc
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from lcl_ref import Spec
from lcl_ref.core import batched
from lcl_ref.layers.engines import kept_memory, torch_kernel
from lcl_ref.layers.engines import numpy as numpy_engine
from lcl_ref.layers.engines import torch as torch_engine
from tests.support.child import run

SPEC = Spec(input_size=(64, 64), in_channels=16, out_channels=16, kernel_size=(7, 7), bias="none")
"""A layer whose weight takes 42 MB, and its output less than a megabyte."""

SIZE = 16 * kept_memory.LARGE_BYTES


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    monkeypatch.setattr(kept_memory, "_pieces", kept_memory.Pieces())


def torch_gradient(x, dy):
    weight = torch.zeros(SPEC.weight_shape, requires_grad=True)
    made = torch_engine.local(SPEC.to_json(), torch.from_numpy(x), weight, None)
    return torch.autograd.grad(made, weight, torch.from_numpy(dy))[0]


def numpy_gradient(x, dy):
    return numpy_engine.vjp(SPEC, x, np.zeros(SPEC.weight_shape, np.float32), dy)[1]


def address(gradient):
    return gradient.data_ptr() if isinstance(gradient, torch.Tensor) else gradient.ctypes.data


def operands(seed):
    draw = np.random.default_rng(seed)
    return [draw.integers(-2, 3, shape).astype(np.float32) for shape in (SPEC.x_shape(1), SPEC.y_shape(1))]


@pytest.mark.parametrize("gradient", [torch_gradient, numpy_gradient])
def test_a_gradient_is_made_where_the_last_one_was(gradient):
    first = gradient(*operands(0))
    at, expected = address(first), first + 0
    second = gradient(*operands(1))
    assert address(second) != at
    assert (first == expected).all()  # which was in use
    del first
    third = gradient(*operands(0))
    assert address(third) == at
    assert (third == expected).all()


@pytest.mark.parametrize("installed", [True, False])
@pytest.mark.parametrize("number", [0, 1])
def test_an_output_and_a_gradient_of_the_input_in_torch_are_made_where_the_last_ones_were(
    monkeypatch, number, installed
):
    if not installed:
        monkeypatch.setattr(torch_kernel, "layer_of", lambda _: None)
    draw = np.random.default_rng(0)
    weight = torch.from_numpy(draw.integers(-2, 3, SPEC.weight_shape).astype(np.float32))

    def results():
        shapes = SPEC.x_shape(8), SPEC.y_shape(8)
        x, dy = (torch.from_numpy(draw.integers(-2, 3, shape).astype(np.float32)) for shape in shapes)
        y = torch_engine.local(SPEC.to_json(), x.requires_grad_(), weight, None)
        found = y.detach(), torch.autograd.grad(y, x, dy)[0]
        right = (
            batched.forward(SPEC, x.detach().numpy(), weight.numpy(), None),
            batched.transpose(SPEC, dy.numpy(), weight.numpy()),
        )
        return found[number], right[number]

    first, right = results()
    at = address(first)
    second, _ = results()
    assert address(second) != at
    assert (first.numpy() == right).all()
    del first
    third, right = results()
    assert address(third) == at
    assert (third.numpy() == right).all()


def test_a_view_of_a_gradient_holds_its_memory():
    part = torch_gradient(*operands(0))[:, :1].flatten()[:100]
    expected = part.clone()
    other = torch_gradient(*operands(1))
    assert torch.equal(part, expected)
    assert part.untyped_storage().data_ptr() != other.untyped_storage().data_ptr()


def test_a_gradient_can_be_shared_with_other_processes_and_saved(tmp_path):
    gradient = torch_gradient(*operands(0))
    expected = gradient.clone()
    torch.save(gradient, tmp_path / "gradient.pt")
    assert torch.equal(torch.load(tmp_path / "gradient.pt"), expected)
    assert torch.equal(gradient.share_memory_(), expected)


def test_small_memory_and_memory_that_the_system_does_not_have_are_left_to_others():
    assert kept_memory.memory(kept_memory.LARGE_BYTES - 1) is None
    assert kept_memory.memory(1 << 60) is None


def test_no_more_is_kept_than_was_in_use_at_once():
    kept = kept_memory._pieces.kept
    first, second = kept_memory.memory(SIZE), kept_memory.memory(2 * SIZE)
    del first, second
    assert sorted(len(piece) for piece in kept) == [SIZE, 2 * SIZE]
    for factor in range(3, 20):
        held = kept_memory.memory(factor * SIZE)
        assert sum(map(len, kept)) <= max(0, 3 - factor) * SIZE
        del held
        assert [len(piece) for piece in kept] == [factor * SIZE]


def test_the_system_may_take_back_what_is_kept():
    status = Path("/proc/self/smaps_rollup")

    def can_be_taken():
        found = [line.split()[1] for line in status.read_text("ascii").splitlines() if line.startswith("LazyFree:")]
        return 1024 * int(found[0])

    before = can_be_taken()
    held = kept_memory.memory(SIZE)
    held[:] = bytes(SIZE)
    assert can_be_taken() - before < SIZE // 2
    del held
    assert can_be_taken() - before > SIZE // 2


def test_threads_never_share_a_piece():
    wrong = []

    def work(number):
        for _ in range(200):
            held = kept_memory.memory(SIZE)
            held[:8] = bytes([number] * 8)
            if bytes(held[:8]) != bytes([number] * 8):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gc.collect()
    assert wrong == []
    assert 1 <= len(kept_memory._pieces.kept) <= 8


FORKED = """
import os
from lcl_ref.layers.engines import kept_memory
size = kept_memory.LARGE_BYTES
held, left = kept_memory.memory(size), kept_memory.memory(size)
held[:4], left[:4] = b"held", b"left"
del left
child = os.fork()
if not child:
    again = kept_memory.memory(size)
    held[:4], again[:4] = b"wool", b"wool"
    del held, again
    os._exit(0)
os.waitpid(child, 0)
print(bytes(held[:4]).decode())
"""


def test_a_forked_process_leaves_the_memory_of_its_parent_as_it_was():
    assert run("-c", FORKED).split() == ["held"]
