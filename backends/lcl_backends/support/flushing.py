"""Frameworks that compute with the processor set to flush subnormal numbers (SPEC clause 8.9)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lcl_ref.suite.adapter import Capabilities, Declaration

FLUSHES = ("bfloat16", "float32", "float64")
"""Formats whose subnormal numbers XLA and TensorFlow take and give as 0; those of float16 are normal in float32."""

WHY = "XLA and TensorFlow set their threads to take and give subnormal numbers as zero"


def declared_flushing(*, capabilities: Capabilities, **fields: Any) -> Declaration:
    """Return a `Declaration` whose capabilities say so."""
    why = {**capabilities.why, "flushes": WHY}
    return Declaration(capabilities=replace(capabilities, flushes=FLUSHES, why=why), **fields)
