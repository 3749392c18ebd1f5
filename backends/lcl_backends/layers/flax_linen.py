"""Old name of `lcl_ref.layers.flax_linen`."""

from lcl_backends.layers import moved

globals().update({name: value for name, value in vars(moved(__name__)).items() if not name.startswith("_")})
