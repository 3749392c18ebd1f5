"""PyTorch files: a ``state_dict`` is read and written as data, without torch, and nothing in a file is ever run."""
