"""Files of TensorFlow and TensorFlow.js that hold a Keras model, or named variables."""
