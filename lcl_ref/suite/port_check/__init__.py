"""Whether a converted weight file computes what the old one did."""
