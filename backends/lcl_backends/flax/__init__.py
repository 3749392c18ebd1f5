"""Adapters of flax: a module per route; names of backends begin with ``flax.``."""

from functools import partial

from lcl_backends.support.provider import adapters_in

adapters = partial(adapters_in, __name__)
