"""Golden data: operands, results by two oracles, the files they are stored in."""
