"""Experiments on the limits of SPEC clause 12, which `benchmarks/` runs at length and the tests in short."""
