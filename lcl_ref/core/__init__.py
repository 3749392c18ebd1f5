"""What the layer computes: specification, padding, geometry and the reference, on NumPy alone. Read this first."""
