"""The name of the mistake: known deviations, and what experiments show."""
