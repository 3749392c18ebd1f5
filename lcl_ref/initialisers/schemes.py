"""How implementations fill the weights of a new layer, as data: layout, fan rule, distribution (SPEC clause 14.7).

Frameworks compute the fan of a weight from the shape they store it in, and most take its position axes for a receptive
field, so that one layer under one name starts at scales an order of magnitude apart. Sources are cited by project and
file.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from lcl_ref.core.spec import Spec
from lcl_ref.layouts import weight_shape

Fans = tuple[float, float]
Distribution = Literal["uniform", "normal", "truncated normal"]
Mode = Literal["in", "average", "none"]
Shape = tuple[int, ...]


def _keras(_spec: Spec, shape: Shape) -> Fans:
    """Read ``(..., in, out)``: all axes before the last two count as receptive field; one axis is both fans."""
    if len(shape) == 1:
        return shape[0], shape[0]
    return math.prod(shape[:-1]), math.prod(shape[:-2]) * shape[-1]


def _torch(_spec: Spec, shape: Shape) -> Fans:
    """Read ``(out, in, ...)``: all axes after the first two count as receptive field."""
    return math.prod(shape[1:]), shape[0] * math.prod(shape[2:])


def _square_root(_spec: Spec, shape: Shape) -> Fans:
    """Take the root of the number of elements, as for every shape without a rule of its own."""
    return math.sqrt(math.prod(shape)), math.sqrt(math.prod(shape))


def _patch(spec: Spec, _shape: Shape) -> Fans:
    """Count as convolutions of Keras, JAX and torch do: taps times Cg, and taps times co, whatever the groups."""
    return spec.fan_in, math.prod(spec.kernel_size) * spec.out_channels


def _strided_patch(spec: Spec, shape: Shape) -> Fans:
    """Count as a patch, with the fan out divided by the strides."""
    fan_in, fan_out = _patch(spec, shape)
    return fan_in, fan_out / math.prod(spec.stride)


def _ungrouped(spec: Spec, _shape: Shape) -> Fans:
    """Count as a patch over all input channels, whatever the groups."""
    fan = math.prod(spec.kernel_size) * spec.in_channels
    return fan, fan


def _kernel_to_the_fourth(spec: Spec, _shape: Shape) -> Fans:
    """Square twice: the standard deviation is 1 over the squared kernel size."""
    fan = math.prod(spec.kernel_size) ** 4
    return fan, fan


def _channels(spec: Spec, _shape: Shape) -> Fans:
    """Count the input channels alone: taps are left out."""
    return spec.in_channels, spec.in_channels


FANS: dict[str, Callable[[Spec, Shape], Fans]] = {
    "stored shape, Keras": _keras,
    "stored shape, torch": _torch,
    "root of the size": _square_root,
    "patch": _patch,
    "patch, strides": _strided_patch,
    "patch, groups ignored": _ungrouped,
    "kernel to the fourth": _kernel_to_the_fourth,
    "channels": _channels,
}
"""Rule -> ``(fan in, fan out)`` of a layer whose weight is stored in that shape."""


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """How one implementation fills weight and bias.

    Parameters
    ----------
    name : str
        The name users write.
    layout : str
        Layout (`lcl_ref.layouts`) in which the implementation stores the weight.
    fans : str
        Key of `FANS`.
    distribution : {"uniform", "normal", "truncated normal"}
        Between the limits ``-spread ... spread``; or with the standard deviation `spread`; or the same, cut at twice
        the deviation of the normal before the cut.
    factor : float
        ``spread = sqrt(factor / n)``.
    mode : {"in", "average", "none"}
        n: the fan in, the mean of both fans, or 1.
    bias : {"zeros", "as weight"}
        Zeros, or drawn as the weight is.
    first_position_only : bool
        Whether only the first position is filled and all others are 0.
    source : str
        Where this is defined.

    Examples
    --------
    >>> import lcl_ref as lcl
    >>> spec = lcl.Spec(input_size=(10, 9), in_channels=8, out_channels=16, kernel_size=3)
    >>> for name in ("canonical/glorot_uniform", "keras2/impl1/glorot_uniform"):
    ...     print(f"{lcl.initialisers.SCHEMES[name].spread(spec):.4f}")
    0.1667
    0.0349
    """

    name: str
    layout: str
    fans: str
    distribution: Distribution
    factor: float
    mode: Mode
    bias: Literal["zeros", "as weight"] = "zeros"
    first_position_only: bool = False
    source: str = ""

    def spread(self, spec: Spec) -> float:
        """Return the limit of the uniform, or the standard deviation of the normal distribution.

        Parameters
        ----------
        spec : Spec
            The layer.

        Returns
        -------
        float
            What standard draws are multiplied by.

        Raises
        ------
        LayoutError
            If the implementation has no such layer.

        Examples
        --------
        >>> import lcl_ref as lcl
        >>> spec = lcl.Spec(input_size=4, in_channels=2, out_channels=6, kernel_size=3)
        >>> lcl.initialisers.get("canonical/glorot_uniform").spread(spec)
        0.5
        """
        fan_in, fan_out = FANS[self.fans](spec, weight_shape(self.layout, spec))
        return math.sqrt(self.factor / {"in": fan_in, "average": (fan_in + fan_out) / 2, "none": 1}[self.mode])

    def standard_deviation(self, spec: Spec) -> float:
        """Return the standard deviation of a weight that is filled.

        Parameters
        ----------
        spec : Spec
            The layer.

        Returns
        -------
        float
            The spread, divided by the root of 3 where the distribution is uniform.

        Examples
        --------
        >>> import lcl_ref as lcl
        >>> spec = lcl.Spec(input_size=4, in_channels=2, out_channels=6, kernel_size=3)
        >>> lcl.initialisers.get("canonical/he_normal").standard_deviation(spec) == (2 / 6) ** 0.5
        True
        """
        return self.spread(spec) / (math.sqrt(3) if self.distribution == "uniform" else 1)


_SCALING: dict[str, tuple[Distribution, float, Mode]] = {
    "glorot_uniform": ("uniform", 3, "average"),
    "glorot_normal": ("truncated normal", 1, "average"),
    "lecun_uniform": ("uniform", 3, "in"),
    "lecun_normal": ("truncated normal", 1, "in"),
    "he_uniform": ("uniform", 6, "in"),
    "he_normal": ("truncated normal", 2, "in"),
}
"""The initialisers of Keras and of jax.nn: a scale by variance."""


def _family(layout: str, fans: str, source: str) -> list[Scheme]:
    """Return the six initialisers of `_SCALING` on one layout; ``channels_last`` is left out of names."""
    prefix = layout.removesuffix("/channels_last")
    return [
        Scheme(
            name=f"{prefix}/{name}",
            layout=layout,
            fans=fans,
            distribution=distribution,
            factor=factor,
            mode=mode,
            source=source,
        )
        for name, (distribution, factor, mode) in _SCALING.items()
    ]


_KERAS = "keras-team/tf-keras, tf_keras/initializers/initializers.py (_compute_fans)"
_TORCH = "pytorch/pytorch, torch/nn/init.py (_calculate_fan_in_and_fan_out)"
_CHAINER = "chainer/chainer, chainer/initializers/normal.py (get_fans)"
_LASAGNE = "Lasagne/Lasagne, lasagne/init.py (Glorot)"
_BIGDL = "intel-analytics/BigDL, LocallyConnected2D.scala (reset)"
_DARKNET = "pjreddie/darknet, src/local_layer.c (make_local_layer)"
_MEGENGINE = "MegEngine/MegEngine, megengine/module/conv.py (LocalConv2d)"
_DL4J = "deeplearning4j/deeplearning4j, LocallyConnected2D.java (initializeParameters)"
_FORTRAN = "modern-fortran/neural-fortran, nf_locally_connected1d_layer_submodule.f90 (init)"
_TORCH7 = "torch/nn, SpatialConvolutionLocal.lua (reset)"


def _single(name: str, fans: str, distribution: Distribution, factor: float, mode: Mode, **more: Any) -> Scheme:
    """Return a scheme whose layout is its name without the last part."""
    layout = name.rpartition("/")[0]
    return Scheme(name=name, layout=layout, fans=fans, distribution=distribution, factor=factor, mode=mode, **more)


ROWS: tuple[Scheme, ...] = (
    *_family("canonical", "patch", "this project: what the convolutions of Keras, JAX and torch compute per patch"),
    *(
        scheme
        for owner in ("keras2", "neurite")
        for number in (1, 2, 3)
        for data_format in ("channels_last", "channels_first")
        for scheme in _family(f"{owner}/impl{number}/{data_format}", "stored shape, Keras", _KERAS)
    ),
    *_family("flax/conv_local", "stored shape, Keras", "jax-ml/jax, jax/_src/nn/initializers.py; default lecun_normal"),
    Scheme(
        name="keras1/glorot_uniform",
        layout="keras1/channels_last",
        fans="root of the size",
        distribution="uniform",
        factor=3,
        mode="average",
        source="keras-team/keras 1, keras/initializations.py (get_fans)",
    ),
    _single("chainer/lecun_normal", "stored shape, torch", "normal", 1, "in", source=_CHAINER),
    _single("lasagne/glorot_uniform", "stored shape, torch", "uniform", 3, "average", source=_LASAGNE),
    _single("torch7/spatial_convolution_local/uniform", "patch", "uniform", 1, "in", bias="as weight", source=_TORCH7),
    _single("bigdl/nchw/uniform", "patch", "uniform", 1, "in", bias="as weight", source=_BIGDL),
    _single("torch/ptrblck/randn", "channels", "normal", 1, "none", bias="as weight", source="ptrblck/pytorch_misc"),
    _single("torch/ptrblck/xavier_uniform", "stored shape, torch", "uniform", 3, "average", source=_TORCH),
    _single(
        "torch7/spatial_convolution_local/kaiming_uniform", "stored shape, torch", "uniform", 1, "in", source=_TORCH
    ),
    _single("darknet/uniform", "patch", "uniform", 2, "in", first_position_only=True, source=_DARKNET),
    _single("megengine/normal", "patch, groups ignored", "normal", 1, "in", source=_MEGENGINE),
    _single("dl4j/nchw/xavier", "patch, strides", "normal", 1, "average", source=_DL4J),
    _single("dl4j/nhwc/xavier", "patch, strides", "normal", 1, "average", source=_DL4J),
    _single("neural_fortran/randn", "kernel to the fourth", "normal", 1, "in", source=_FORTRAN),
    _single("mlx/issue1881/randn", "channels", "normal", 1, "in", source="ml-explore/mlx#1881"),
)
