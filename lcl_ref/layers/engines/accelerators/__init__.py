"""How layers are computed on accelerators: few large products, or one fused kernel per product (docs/accelerators.md).

Read ``plans`` (which way is taken where), then ``kernel_tables`` (the geometry as the kernels read it), which is NumPy.
``triton_kernels`` and ``triton_products`` are the fused kernels of torch, which ``torch_products_of`` chooses,
``pallas_kernels`` and ``pallas_products`` those of JAX. Few large products are made by the engines of processors, with
more room.
"""
