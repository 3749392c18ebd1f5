"""How the layers compute: one engine per framework, each a function `local` of canonical operands.

``local(spec, x (n, i*, ci), weight (o*, k*, cg, co), bias or None) -> y (n, o*, co)`` is differentiable to any order;
half types are summed in float32 and rounded once. An engine chooses its route by the geometry of the layer alone: one
product where windows are side by side, all windows at once where they are few, else a tile of positions at a time,
whose windows are dropped once multiplied, so that working memory stays bounded.

Read ``index_tables`` (the geometry as tables) and ``tiling`` (side by side, tiles, and the loop over them) first; they
are NumPy. Then one engine: ``jax`` with ``jax_operands``, ``jax_beside`` and ``jax_tiles`` says it most plainly;
``tensorflow`` is one module; ``mlx`` has ``mlx_operands``, ``mlx_tiles`` and ``mlx_sum``; torch's are the modules
``torch*``, from ``torch`` on. ``keras`` asks the engine of the framework below it.
"""
