"""pytest plugin of the suite: the conformance matrix as tests."""
