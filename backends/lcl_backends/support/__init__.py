"""What authors of adapters share: arrays across the border, prepared layers, gradients, one module per framework."""
