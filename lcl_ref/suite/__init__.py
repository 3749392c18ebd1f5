"""The conformance suite: cases, golden data, comparison, adapters' protocol and the runner."""
