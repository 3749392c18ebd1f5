"""Layers to drop into a model: one module per framework, which imports that framework and no other.

======================  ========================================================  ==============
module                  layers                                                    channels
======================  ========================================================  ==============
`torch`                 `LocallyConnected1d`, `2d`, `3d`, `BlockLinear`           first
`mlx`                   the same                                                  last
`flax_linen`            `LocallyConnected` of a `Spec`                            last
`flax_nnx`              the same                                                  last
`keras`                 `LocallyConnected1D`, `2D`, `3D` of Keras 2, for Keras 3  first or last
`sharded`               `Sharded`, over the devices of a mesh of JAX              last
                        `partitioned`, over those that XLA cuts a program for     last
`sharded_torch`         `ShardedLocal`, over the processes of a group or a mesh   last
======================  ========================================================  ==============

The first five have `UnequalBlockLinear`, too, block-diagonal with blocks of unequal sizes. `planning` says what a layer
costs on a cluster.

Importing or calling one changes no state of its framework or of the process. They import `lcl_ref.core`,
`lcl_ref.errors` and `lcl_ref.layouts`, never an adapter or the suite.

To read them, begin with ``_arguments.py`` (what needs no framework: arguments as a `Spec`, checks, printing) and one of
the modules, `mlx` being the plainest; ``_docstrings.py`` has the sections that their docstrings share, ``_flax.py`` the
call of both kinds of Flax, ``_keras_models.py`` and ``_keras_variables.py`` what old files hold. How they compute is in
`lcl_ref.layers.engines`.
"""
