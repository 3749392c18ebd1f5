"""Adapters of keras3: a module per route; names of backends begin with ``keras3.``."""

from functools import partial

from lcl_backends.support.provider import adapters_in

adapters = partial(adapters_in, __name__)
