"""Layers to drop into a model, one module per framework, and the fast routes they run on."""
