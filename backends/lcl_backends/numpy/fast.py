"""The recommended route of NumPy is `numpy.matmul`; here it bears the name that recommended routes have."""

from __future__ import annotations

from dataclasses import replace

from lcl_backends.numpy import matmul


class Adapter(matmul.Adapter):
    """`numpy.matmul` itself, found by ``*.fast``."""

    declaration = replace(
        matmul.Adapter.declaration,
        name="numpy.fast",
        summary="numpy.matmul, the fastest route of NumPy, under the name of recommended routes.",
    )
