"""Keras files: their configuration, the layers in it, reading and writing."""
