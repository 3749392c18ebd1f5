"""Weight files of tf_keras ``LocallyConnected1D/2D``: canonical arrays to the stored ones and back, by geometry alone.

P positions, K taps and the input sites are flattened in C order, ``W (P, K, ci, co)`` is the canonical weight so
flattened, ``i(p, k)`` the input site that tap k of position p reads (`lcl_backends._patches.sites`); a tap in the
padding ("dead") has none.

=================  =========================================  ==========================================
implementation     ``channels_last``                          ``channels_first``
=================  =========================================  ==========================================
``impl1``          ``(P, K*ci, co)``                          ``(P, ci*K, co)``
``impl2``          ``(i*, ci, o*, co)``, W at ``i(p, k)``     ``(ci, i*, co, o*)``, W at ``i(p, k)``
``impl3``          ``(nnz,)``, loops p, co, live k, ci        ``(nnz,)``, loops co, p, ci, live k
bias               ``(o*, co)``                               shape ``(o*, co)``, memory ``(co, o*)``
=================  =========================================  ==========================================

The bias of ``channels_first`` is *reshaped* to ``(co, o*)`` by ``backend.bias_add``, not transposed, so that is the
order of its memory. A dead tap is never found by its value: a live weight may be 0.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lcl_backends._patches import sites
from lcl_ref.spec import Spec


def to_layout(name: str, spec: Spec, weight: Any, bias: Any) -> tuple[Any, Any]:
    """Return ``(kernel, bias)`` as tf_keras stores them.

    Parameters
    ----------
    name : str
        ``keras2/impl{1,2,3}/channels_{first,last}``.
    weight : array
        ``(o*, k*, ci, co)``; dead taps are lost in ``impl2`` and ``impl3``.
    bias : array or None
        ``(o*, co)``.
    """
    _, implementation, data_format = name.split("/")
    taps = weight.reshape(_flat_shape(spec))
    return _PACK[implementation](spec, taps, data_format == "channels_first"), _bias_to(spec, bias, data_format)


def from_layout(name: str, spec: Spec, kernel: Any, bias: Any) -> tuple[Any, Any]:
    """Return canonical ``(weight, bias)`` of stored arrays or of their gradients; a tap without storage is 0."""
    _, implementation, data_format = name.split("/")
    taps = _UNPACK[implementation](spec, kernel, data_format == "channels_first")
    return taps.reshape(spec.weight_shape), _bias_from(spec, bias, data_format)


def _flat_shape(spec: Spec) -> tuple[int, ...]:
    return math.prod(spec.output_size), math.prod(spec.kernel_size), spec.in_channels, spec.out_channels


def _bias_to(spec: Spec, bias: Any, data_format: str) -> Any:
    if bias is None or data_format == "channels_last":
        return bias
    return bias.reshape(-1, spec.out_channels).T.reshape(bias.shape)


def _bias_from(spec: Spec, bias: Any, data_format: str) -> Any:
    if bias is None or data_format == "channels_last":
        return bias
    return bias.reshape(spec.out_channels, -1).T.reshape(bias.shape)


def _pack_rows(spec: Spec, taps: Any, channels_first: bool) -> Any:
    ordered = taps.transpose(0, 2, 1, 3) if channels_first else taps
    return ordered.reshape(len(taps), -1, spec.out_channels)


def _unpack_rows(spec: Spec, kernel: Any, channels_first: bool) -> Any:
    positions, taps, cin, cout = _flat_shape(spec)
    if channels_first:
        return kernel.reshape(positions, cin, taps, cout).transpose(0, 2, 1, 3)
    return kernel.reshape(positions, taps, cin, cout)


def _live(spec: Spec) -> tuple[Any, Any, Any]:
    """Return position, tap and input site of every tap that is inside the input."""
    table = sites(spec)
    position, tap = np.nonzero(table < math.prod(spec.input_size))
    return position, tap, table[position, tap]


def _pack_dense(spec: Spec, taps: Any, channels_first: bool) -> Any:
    position, tap, site = _live(spec)
    dense = np.zeros((math.prod(spec.input_size), spec.in_channels, len(taps), spec.out_channels), taps.dtype)
    dense[site, :, position] = taps[position, tap]
    if channels_first:
        return dense.transpose(1, 0, 3, 2).reshape(
            spec.in_channels, *spec.input_size, spec.out_channels, *spec.output_size
        )
    return dense.reshape(*spec.input_size, spec.in_channels, *spec.output_size, spec.out_channels)


def _unpack_dense(spec: Spec, kernel: Any, channels_first: bool) -> Any:
    positions, _, cin, cout = shape = _flat_shape(spec)
    position, tap, site = _live(spec)
    if channels_first:
        dense = kernel.reshape(cin, -1, cout, positions).transpose(1, 0, 3, 2)
    else:
        dense = kernel.reshape(-1, cin, positions, cout)
    taps = np.zeros(shape, kernel.dtype)
    taps[position, tap] = dense[site, :, position]
    return taps


def _loop_nest(spec: Spec, channels_first: bool) -> tuple[tuple[int, ...], Any]:
    """Return the order of the axes of W in the loops of ``impl3``, and which entries so ordered are stored."""
    shape = _flat_shape(spec)
    order = (3, 0, 2, 1) if channels_first else (0, 3, 1, 2)
    live = sites(spec) < math.prod(spec.input_size)
    return order, np.broadcast_to(live[:, :, None, None], shape).transpose(order)


def _pack_live(spec: Spec, taps: Any, channels_first: bool) -> Any:
    order, live = _loop_nest(spec, channels_first)
    return taps.transpose(order)[live]


def _unpack_live(spec: Spec, kernel: Any, channels_first: bool) -> Any:
    order, live = _loop_nest(spec, channels_first)
    nest = np.zeros(live.shape, kernel.dtype)
    nest[live] = kernel
    return nest.transpose(np.argsort(order))


_PACK = {"impl1": _pack_rows, "impl2": _pack_dense, "impl3": _pack_live}
_UNPACK = {"impl1": _unpack_rows, "impl2": _unpack_dense, "impl3": _unpack_live}
