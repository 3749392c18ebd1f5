"""Compile the fused kernels of Triton for a graphics card that need not be there: ``compiled.py "cuda 90" units``.

Prints ``{kernel dtype: matrix instructions in its assembly}``. Products of float32 have none on cards of NVIDIA, whose
matrix units would round their factors. With ``layers`` it compiles what the layers of the core tier launch, forward and
backward, each kernel once for every kind of arguments that Triton makes a program of its own for, and prints how many.
"""

import inspect
import json
import sys

import torch
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from lcl_ref.layers.engines.accelerators import kernel_tables, triton_kernels, triton_products
from lcl_ref.suite.cases.catalogue import CASES
from lcl_ref.suite.cases.tiers import TIERS

SIDES = ("COUNT", "ROWS", "INNER", "COLUMNS")
TENSORS = ("x", "weight", "bias", "y", "dy", "dx", "dw")
KERNELS = (triton_kernels.output, triton_kernels.input_gradient, triton_kernels.weight_gradient)
DTYPES = ("fp32", "bf16", "fp64")
MATRIX_INSTRUCTIONS = ("mma.sync", "wgmma.mma", "v_mfma")


def compiled(kernel, dtype, target, blocks, bias="position", kinds=()):
    """Return the assembly of a kernel; `kinds` are those of its numbers: 1, a multiple of 16, or any."""
    names = list(inspect.signature(kernel.fn).parameters)
    constants = {"WIDE": tl.float64 if dtype == "fp64" else tl.float32, "BIAS": bias} | dict(
        zip(SIDES, blocks, strict=True)
    )
    constants |= {name: 1 for name, kind in kinds if kind == "one"}
    types = {name: f"*{dtype}" if name in TENSORS else "*i32" if name.endswith("_table") else "i32" for name in names}
    signature = {name: "constexpr" if name in constants else kind for name, kind in types.items()}
    values = {(names.index(name),): value for name, value in constants.items() if name in names}
    even = [name for name, kind in kinds if kind == "sixteens"] + [name for name in names if types[name][0] == "*"]
    attributes = {(names.index(name),): [["tt.divisibility", 16]] for name in even} if kinds else {}
    assembly = triton.compile(ASTSource(kernel, signature, values, attributes), target=target).asm
    assert "cubin" in assembly or "hsaco" in assembly
    return assembly.get("ptx") or assembly["amdgcn"]


def units(target):
    """Return how many matrix instructions each kernel has, of large blocks."""
    texts = {
        f"{kernel.__name__} {dtype}": compiled(kernel, dtype, target, (1, 64, 32, 64))
        for kernel in KERNELS
        for dtype in DTYPES
    }
    return {name: sum(text.count(word) for word in MATRIX_INSTRUCTIONS) for name, text in texts.items()}


def launches():
    """Return what the layers of the core tier launch, as `compiled` takes it, without the dtype."""
    found = []

    def launch(kernel, operands, numbers, count, shape, _, settings):
        blocks = kernel_tables.blocks_of(count, *shape, interpreted=False)
        tiles = triton.cdiv(shape[0], blocks.rows), triton.cdiv(shape[2], blocks.columns)
        names = list(inspect.signature(kernel.fn).parameters)[len(operands) :]
        kinds = [(name, kind_of(number)) for name, number in zip(names, (*numbers, count, *tiles), strict=False)]
        found.append((kernel, tuple(blocks), settings.get("BIAS", "none"), tuple(kinds)))

    triton_products._launch = launch
    for case in filter(TIERS["core"], CASES):
        text, shapes = case.spec.to_json(), case.spec.operand_shapes(max(1, case.batch))
        operands = {name: torch.empty(shape) for name, shape in shapes.items()}
        x, weight, bias, dy = (operands.get(name) for name in ("x", "weight", "bias", "dy"))
        triton_products.output(text, x, weight, bias)
        triton_products.input_gradient(text, dy, weight)
        triton_products.weight_gradient(text, x, dy)
    return found


def kind_of(number):
    """Return what Triton's compiler is told of a number."""
    return "one" if number == 1 else "sixteens" if number % 16 == 0 else "any"


def of_layers(target):
    """Compile what layers launch, dtypes by turns."""
    every = launches()
    distinct = list(dict.fromkeys(every))
    for number, (kernel, blocks, bias, kinds) in enumerate(distinct):
        compiled(kernel, DTYPES[number % len(DTYPES)], target, blocks, bias, kinds)
    return {"launches": len(every), "programs": len(distinct)}


def main():
    """Compile for the card that the arguments name."""
    backend, card = sys.argv[1].split()
    target = GPUTarget(backend, int(card), 32) if backend == "cuda" else GPUTarget(backend, card, 64)
    sys.stdout.write(json.dumps({"units": units, "layers": of_layers}[sys.argv[2]](target)))


if __name__ == "__main__":
    main()
