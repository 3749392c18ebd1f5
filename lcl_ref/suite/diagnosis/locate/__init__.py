"""Where a layer is wrong: which results, and which settings the wrong answers have that no right one has."""
