"""Formats that are written and not read: graphs of operations that compute the layer."""
