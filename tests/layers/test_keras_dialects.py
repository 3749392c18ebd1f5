"""Files of earlier Keras open in Keras 3, and their layers are found by every reader."""

import pytest

from tests.support.child import run
from tests.support.paths import SUPPORT

PROGRAMS = SUPPORT / "keras_dialects.py"


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_every_dialect_gives_the_answers_of_the_model(tmp_path, backend):
    run(PROGRAMS, "write", tmp_path)
    assert int(run(PROGRAMS, "check", tmp_path, backend=backend)) == 3 * 8


ARGUMENTS = """
import keras
from lcl_ref.layers._keras_models import modern
def entry(name, **config):
    return {"class_name": name, "config": config}
plain = {"filters": 3, "kernel_size": 2}
gru = modern(entry("GRU", units=3, time_major=False, recurrent_activation="hard_sigmoid"))["config"]
assert gru["reset_after"] is False and "time_major" not in gru
layer = keras.layers.GRU(**gru)
print(float(layer.recurrent_activation(2.5)))
cudnn = modern(entry("CuDNNLSTM", units=3, time_major=False))
assert keras.layers.LSTM(**cudnn["config"]).recurrent_activation is keras.activations.sigmoid
assert modern(entry("Conv2DTranspose", **plain, groups=1))["config"] == plain
today = modern(entry("GRU", units=3, recurrent_activation="hard_sigmoid"), old=False)
assert today["config"] == {"units": 3, "recurrent_activation": "hard_sigmoid"}
try:
    modern(entry("LSTM", units=3, time_major=True))
except ValueError as error:
    print(error)
"""


@pytest.mark.slow
def test_arguments_that_keras_3_dropped_are_left_out_or_refused_in_words():
    value, refused = run(backend="jax", program=ARGUMENTS).splitlines()
    assert float(value) == 1.0  # Keras 3 means 11/12 by the name
    assert refused == "LSTM with time_major=True is a layer of Keras 2 that Keras 3 does not have."
