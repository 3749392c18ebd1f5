"""Questions about how a layer may be called: memory orders of its operands, and what it keeps between calls.

A check asks layers of the golden data again, under other circumstances; its answers are those of the reference.
"""
