"""Layers beyond the specification proper, each reduced to it and pinned by an exact limit (SPEC clause 14).

Their functions use only what arrays of NumPy, torch and JAX have in common, so that one formula serves all three and
the gradients of a framework pass through it. Their cases are data of the suite (`lcl_ref.suite.cases`);
`lcl_ref.suite.golden.extension_formulas` is a second route to the golden results.
"""
