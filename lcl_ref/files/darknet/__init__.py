"""Darknet: ``.weights`` files, and the ``.cfg`` that tells what is in them."""
