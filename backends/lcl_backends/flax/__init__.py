"""Adapters of flax, one module per route; the name of the module is that of the backend."""
