"""Initial weights as specified data: the spread each framework really gives a locally connected layer.

A scheme (`SCHEMES`) is a layout, the rule by which its owner reads fans from it, and a distribution. Draws are the same
bits on every machine (`lcl_ref.initialisers.portable_random`), and the same standard numbers under every scheme: two
schemes of one distribution differ by a factor.
"""

from __future__ import annotations

import difflib
import math
import operator
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lcl_ref.core.spec import Spec
from lcl_ref.errors import LclError, Violation
from lcl_ref.initialisers import portable_random
from lcl_ref.initialisers.schemes import ROWS, Distribution, Scheme
from lcl_ref.layouts import get as get_layout
from lcl_ref.layouts.forms import live

__all__ = ["SCHEMES", "Scheme", "get", "init"]

Array = NDArray[Any]

SCHEMES: Mapping[str, Scheme] = MappingProxyType({scheme.name: scheme for scheme in ROWS})
"""Every scheme by name."""


def init(spec: Spec, scheme: str, seed: int, dtype: DTypeLike = np.float32) -> tuple[Array, Array | None]:
    """Draw initial weights and bias.

    Parameters
    ----------
    spec : Spec
        The layer.
    scheme : str
        Name from `SCHEMES`, such as ``"keras2/impl1/glorot_uniform"``; a scheme is never guessed.
    seed : int
        Names the draw: the same seed gives the same bits on every machine, under every NumPy.
    dtype : dtype-like
        Drawn in float64 and rounded once to this.

    Returns
    -------
    tuple of array
        Weight ``(o*, k*, cg, co)`` and bias (or None) in canonical layout; `lcl_ref.layouts.convert` moves them to the
        layout of the scheme. Taps that the layout does not store are 0.

    Raises
    ------
    LclError
        If there is no such scheme, or the seed is no integer.
    LayoutError
        If the implementation has no such layer.

    Notes
    -----
    SPEC clause 14.7 says how the numbers are drawn, for ports that want the same ones.

    Examples
    --------
    >>> import lcl_ref as lcl
    >>> spec = lcl.Spec(input_size=3, in_channels=1, out_channels=2, kernel_size=2, bias="channel")
    >>> weight, bias = lcl.init(spec, "canonical/glorot_uniform", seed=0)
    >>> weight[0, 0], bias
    (array([[-0.6433936 , -0.52593154]], dtype=float32), array([0., 0.], dtype=float32))
    """
    chosen, number = get(scheme), _seed(seed)
    spread = chosen.spread(spec)
    weight = spread * _standard(chosen.distribution, f"lcl-init/1:{number}:weight", spec.weight_shape)
    if get_layout(chosen.layout).form != "taps":
        weight[~live(spec)] = 0
    if chosen.first_position_only:
        weight.reshape(math.prod(spec.weight_size), -1)[1:] = 0
    if spec.bias_shape is None:
        return weight.astype(dtype), None
    bias = np.zeros(spec.bias_shape)
    if chosen.bias == "as weight":
        bias = spread * _standard(chosen.distribution, f"lcl-init/1:{number}:bias", spec.bias_shape)
    return weight.astype(dtype), bias.astype(dtype)


def get(name: str) -> Scheme:
    """Return a scheme by its name.

    Parameters
    ----------
    name : str
        Name from `SCHEMES`.

    Returns
    -------
    Scheme
        Its layout, fan rule and distribution.

    Raises
    ------
    LclError
        If there is none; the message offers the nearest names.

    Examples
    --------
    >>> import lcl_ref as lcl
    >>> scheme = lcl.initialisers.get("keras2/impl1/glorot_uniform")
    >>> scheme.distribution, scheme.layout
    ('uniform', 'keras2/impl1/channels_last')
    """
    if name in SCHEMES:
        return SCHEMES[name]
    near = difflib.get_close_matches(str(name), SCHEMES, n=3, cutoff=0.4)
    expected = "a key of lcl_ref.initialisers.SCHEMES" + (f", such as {', '.join(near)}" if near else "")
    raise LclError(Violation("init/unknown", "scheme", repr(name), expected))


def _seed(seed: int) -> int:
    try:
        return operator.index(seed)
    except TypeError:
        raise LclError(Violation("init/seed", "seed", f"{type(seed).__name__} {seed!r}", "an integer")) from None


def _standard(distribution: Distribution, key: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return draws of spread 1."""
    if distribution == "uniform":
        return 2 * portable_random.uniform(key, shape) - 1
    return (portable_random.normal if distribution == "normal" else portable_random.truncated_normal)(key, shape)
