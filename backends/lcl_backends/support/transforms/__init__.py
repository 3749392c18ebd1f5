"""Layers under the transforms of their frameworks: one module for each framework whose functions can be transformed."""
