"""Layers in another process or language, behind the protocol lcl-exec/1."""
