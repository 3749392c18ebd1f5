"""Settings of every test run; options and fixtures of the matrix come with the plugin `lcl_ref.suite.plugin`."""

import gc
import os

from hypothesis import settings

# The same examples on every machine and in every run, however slow the machine: a failure is a failure of the commit.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

# Keras takes its backend at its first import, and which test imports it first depends on the selection.
os.environ.setdefault("KERAS_BACKEND", "jax")


def pytest_collection_finish():
    """Leave tens of thousands of tests, none of which ends before the run, out of garbage collection."""
    gc.collect()
    gc.freeze()
