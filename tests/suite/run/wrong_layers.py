"""Layers for `lcl fuzz` and `lcl run --ladder`: a right one, and some with a mistake each."""

import os

import lcl_ref


def right(spec, x, weight, bias):
    return lcl_ref.forward(spec, x, weight, bias)


def strides_backwards(spec, x, weight, bias):
    y = right(spec, x, weight, bias)
    return y[:, ::-1] if any(step > 1 for step in spec.stride) else y


def forgets_the_bias(spec, x, weight, bias):
    return right(spec, x, weight, None if bias is None else 0 * bias)


def wrong_at_stride_three(spec, x, weight, bias):
    return right(spec, x, weight, bias) + (3 in spec.stride)


def dies_at_stride_three(spec, x, weight, bias):
    if 3 in spec.stride:
        os._exit(5)
    return right(spec, x, weight, bias)


def takes_memory_as_it_lies(spec, x, weight, bias):
    return right(spec, x.ravel("K").reshape(x.shape), weight, bias)


class NeedsContiguousArrays:
    forward = staticmethod(takes_memory_as_it_lies)
    contiguous_only = "a kernel in C"


class Refuses:
    forward = staticmethod(right)

    def supports(self, *_):
        return "nothing at all"
