"""Settings of every test run; options and fixtures of the matrix come with the plugin `lcl_ref.suite.plugin`."""

from hypothesis import settings

# The same examples on every machine and in every run, however slow the machine: a failure is a failure of the commit.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")
