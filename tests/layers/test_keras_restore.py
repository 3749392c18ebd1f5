"""`restore`: the layers stand again wherever old code looks for them."""

import pytest

from tests.support.child import run

PLACES = """
import sys
import tensorflow as tf
from lcl_ref.layers.keras import LocallyConnected1D, LocallyConnected2D, restore
restore()
import keras
from tensorflow.keras.layers import LocallyConnected2D as imported
assert keras.layers.LocallyConnected1D is tf.keras.layers.LocallyConnected1D is LocallyConnected1D
assert tf.keras.layers.LocallyConnected2D is imported is LocallyConnected2D
layer = imported(2, 2, padding="SAME", implementation=2, data_format="Channels_Last")
print(layer.padding, layer.data_format)
"""


@pytest.mark.slow
def test_layers_are_put_back_into_tf_keras_too():
    assert run(backend="jax", program=PLACES).split() == ["same", "channels_last"]
