"""A run of the matrix: backends, cells, worker processes."""
