"""What the layer computes, on NumPy alone.

A port needs five modules, under 600 lines, read in this order:

1. `spec`: the fields of a layer, and every shape that follows from them;
2. `padding`: what padding names mean, and the output size;
3. `axes`: names and order of the axes of each tensor;
4. `geometry`: which tap of which position reads which input site;
5. `reference`: the layer, its gradients and its transpose as formulas and loops.

The rest helps: `_spec_arguments` and `_spec_rules` check what a `Spec` is made of, `checks` arrays against it,
`batched` is the reference as matrix products, and `dense_oracle` the same layer once more, sharing no geometry.
"""
