"""Layers on an accelerator, beside the ways around them, as `benchmarks/accelerator.py` times them.

`session` asks and waits, `child` answers in a process of its own, `frameworks` says who takes part in torch and JAX.
"""
