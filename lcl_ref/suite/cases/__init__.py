"""What is asked: TOML files, read by `catalogue` when it is imported; processes of layers need none of it."""
