"""The suite on trial: what it sees, what it must not see, and how much of each."""
