"""Adapters: how each framework computes a locally connected layer, one small module per route.

A module loads without its framework; `lcl_ref` finds adapters through the entry-point group ``lcl.backends``.
"""
