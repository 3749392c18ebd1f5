"""What authors of adapters write with; `backends/README.md` is the tutorial.

Every adapter declares (`Declaration`, `Capabilities`, `padding_is`) and returns prepared layers (`PreparedLayer`, made
for a framework in the module of its name beside this one; `Reshaping` is how it makes views of tensors). The geometry
of a layer is there as tables of indices (`sites`, `reads_padding`, `windows_shape`, `gathered`, `groups`, `grouped`,
`PRODUCT`), from which a route that gathers its windows is one `take` and one `einsum`. `adapters_in` is what a package
names as its entry point.

Examples
--------
A layer as one gather and one einsum, in NumPy:

>>> import numpy as np
>>> from lcl_ref import Spec
>>> spec = Spec(input_size=4, in_channels=1, out_channels=1, kernel_size=2)
>>> sites(spec)
array([[0, 1],
       [1, 2],
       [2, 3]], dtype=int32)
>>> x, weight = np.arange(4.0).reshape(1, 4, 1), np.ones(spec.weight_shape)
>>> windows = np.take(x, sites(spec), axis=1).reshape(windows_shape(spec, 1))
>>> np.einsum(PRODUCT, windows, grouped(spec, weight)).ravel()
array([1., 3., 5.])
"""

from lcl_backends.support.prepared import PreparedLayer
from lcl_backends.support.provider import adapters_in
from lcl_ref.layers.engines.index_tables import (
    PRODUCT,
    gathered,
    grouped,
    groups,
    reads_padding,
    sites,
    windows_shape,
)
from lcl_ref.suite.adapter import Capabilities, Declaration, padding_is
from lcl_ref.suite.native_views import Reshaping

__all__ = [
    "PRODUCT",
    "Capabilities",
    "Declaration",
    "PreparedLayer",
    "Reshaping",
    "adapters_in",
    "gathered",
    "grouped",
    "groups",
    "padding_is",
    "reads_padding",
    "sites",
    "windows_shape",
]
