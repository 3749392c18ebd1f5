"""Whether a backend gives the same bits under other circumstances: measured with a witness, reported, not judged."""
