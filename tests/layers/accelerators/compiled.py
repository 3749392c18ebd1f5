"""Compile the fused kernels of Triton for a graphics card that need not be there: ``compiled.py cuda 90``.

Prints ``{kernel dtype: matrix instructions in its assembly}``. Products of float32 have none on cards of NVIDIA, whose
matrix units would round their factors.
"""

import inspect
import json
import sys

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from lcl_ref.layers.engines.accelerators import triton_kernels

BLOCKS = {"COUNT": 1, "ROWS": 64, "INNER": 32, "COLUMNS": 64}
MATRIX_INSTRUCTIONS = ("mma.sync", "wgmma.mma", "v_mfma")


def units(kernel, dtype, target):
    """Compile one kernel, and count its matrix instructions."""
    constants = BLOCKS | {"BIAS": "position", "WIDE": tl.float64 if dtype == "fp64" else tl.float32}
    names = list(inspect.signature(kernel.fn).parameters)
    tensors = ("x", "weight", "bias", "y", "dy", "dx", "dw")
    kinds = {name: f"*{dtype}" if name in tensors else "*i32" if name.endswith("_table") else "i32" for name in names}
    signature = {name: "constexpr" if name in constants else kind for name, kind in kinds.items()}
    values = {(names.index(name),): value for name, value in constants.items() if name in names}
    assembly = triton.compile(ASTSource(kernel, signature, values), target=target).asm
    text = assembly.get("ptx") or assembly["amdgcn"]
    assert "cubin" in assembly or "hsaco" in assembly
    return sum(text.count(word) for word in MATRIX_INSTRUCTIONS)


def main():
    """Compile all for the card that the arguments name."""
    backend, card = sys.argv[1].split()
    target = GPUTarget(backend, int(card), 32) if backend == "cuda" else GPUTarget(backend, card, 64)
    kernels = triton_kernels.output, triton_kernels.input_gradient, triton_kernels.weight_gradient
    found = {f"{kernel.__name__} {dtype}": units(kernel, dtype, target) for kernel in kernels for dtype in DTYPES}
    sys.stdout.write(json.dumps(found))


DTYPES = ("fp32", "bf16", "fp64")

if __name__ == "__main__":
    main()
