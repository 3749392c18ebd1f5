"""How layers are computed on accelerators: few large products, or one fused kernel per product (docs/accelerators.md).

Read ``plans`` (which way is taken where), then ``kernel_tables`` (the geometry as the kernels read it), which is NumPy.
``torch_large`` makes few large products; ``triton_kernels`` and ``triton_products`` are the fused kernels of torch,
``pallas_kernels`` and ``pallas_products`` those of JAX.
"""
